"""`stillhouse dead`: dead letters by reason, one in full, and back to where they came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumers.dead import DeadLetter
from consumers.kafka import KafkaPublisher
from consumers.reading import read_to_end, reader
from consumers.records import Message
from core.settings import Settings
from core.topics import DEAD, TOPICS

REPLAYS = "replays"
"""Header that counts how often a record was replayed; it is kept when the record dies again."""

_BATCH = 500
_REPLAYABLE = {topic.name for topic in TOPICS} - {DEAD}


@dataclass(frozen=True, slots=True)
class Listed:
    """A dead letter with what became of it. `replays` counts those before this death."""

    letter: DeadLetter
    replays: int
    replayed: bool

    def to_dict(self) -> dict[str, Any]:
        letter = self.letter
        return {
            "place": letter.place,
            "key": (letter.original.key or b"").decode("utf-8", "replace"),
            "stage": letter.stage,
            "reason": letter.reason,
            "message": letter.message,
            "stack": letter.stack,
            "attempts": letter.attempts,
            "bytes": len(letter.original.body),
            "truncated": letter.truncated,
            "timestamp_ms": letter.original.timestamp_ms,
            "replays": self.replays,
            "replayed": self.replayed,
        }


class Journal:
    """Which dead letters were replayed from this machine: one line each, by place and time of the original."""

    def __init__(self, state: Path) -> None:
        self._file = state / "replayed.txt"
        self._seen = set(self._file.read_text().splitlines()) if self._file.is_file() else set()

    def __contains__(self, letter: DeadLetter) -> bool:
        return self._name(letter) in self._seen

    def add(self, letters: Sequence[DeadLetter]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as stream:
            stream.writelines(f"{self._name(letter)}\n" for letter in letters)

    @staticmethod
    def _name(letter: DeadLetter) -> str:
        return f"{letter.place}@{letter.original.timestamp_ms}"


async def dead_letters(settings: Settings, reason: str | None = None) -> list[Listed]:
    """All dead letters, oldest first; a redelivery that died twice is listed once."""
    found: dict[tuple[str, int], DeadLetter] = {}

    def take(record: Any) -> None:
        letter = DeadLetter.from_record(record)
        if reason in (None, letter.reason):
            found.setdefault((letter.place, letter.original.timestamp_ms), letter)

    async with reader(settings, DEAD) as consumer:
        await read_to_end(consumer, take)
    journal = Journal(settings.state)
    listed = [Listed(letter, replays_of(letter), letter in journal) for letter in found.values()]
    return sorted(listed, key=lambda entry: entry.letter.original.timestamp_ms)


def replays_of(letter: DeadLetter) -> int:
    return letter.original.number(REPLAYS) or 0


def replayable(letter: DeadLetter) -> bool:
    """False where the letter holds only the head of its record, or names a topic that is not ours."""
    return not letter.truncated and letter.original.topic in _REPLAYABLE


def replay_message(letter: DeadLetter) -> Message:
    """The original record, for its own topic, with the replay counted in a header."""
    headers = tuple(header for header in letter.original.headers if header[0] != REPLAYS)
    counted = (REPLAYS, str(replays_of(letter) + 1).encode())
    return Message(letter.original.topic, letter.original.key, letter.original.value, (*headers, counted))


async def replay(settings: Settings, entries: Sequence[Listed]) -> int:
    """Publish the originals again; returns how many. Stops at the first failure, with what is confirmed noted."""
    publisher, journal = KafkaPublisher(settings), Journal(settings.state)
    try:
        for start in range(0, len(entries), _BATCH):
            letters = [entry.letter for entry in entries[start : start + _BATCH]]
            answers = await publisher.publish([replay_message(letter) for letter in letters])
            journal.add([letter for letter, answer in zip(letters, answers, strict=True) if answer is None])
            if failure := next(filter(None, answers), None):
                raise failure
    finally:
        await publisher.close()
    return len(entries)
