"""The dead letter: a record that cannot be handled, with its original bytes and the reason.

Body and key are the original's. Headers say where it came from and why it is here (`dead-*`), and hold the
original headers under `original.<name>`, so a replay restores the record exactly.
"""

import hashlib
import traceback
from dataclasses import dataclass

from consumers.records import Headers, Message, Record, whole_number
from core import topics
from core.errors import RefusedRecord

TOO_LARGE = "too_large_to_publish"

_PREFIX = "original."
_MESSAGE_CHARS = 1_000
_TRUNCATED_BYTES = 65_536


class Fault(RefusedRecord):
    """A record on which our own code failed; `stack` is a short hash that groups equal failures."""

    stack = ""

    @classmethod
    def of(cls, reason: str, error: BaseException) -> "Fault":
        fault = cls(reason, f"{type(error).__name__}: {error}")
        fault.stack = stack_hash(error)
        return fault


def stack_hash(error: BaseException) -> str:
    """Twelve hex digits over the error's type and the functions that it passed through."""
    frames = [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.name}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    return hashlib.sha256("|".join([type(error).__name__, *frames]).encode()).hexdigest()[:12]


def dead_letter(record: Record, stage: str, refusal: RefusedRecord, *, attempts: int = 1) -> Message:
    """The message for articles.dead.

    A record whose outcome is too large for Kafka is cut to its first 64 KiB: the whole might be refused as well.
    """
    body = record.value
    truncated = refusal.reason == TOO_LARGE and body is not None and len(body) > _TRUNCATED_BYTES
    facts = {
        "dead-stage": stage,
        "dead-reason": refusal.reason,
        "dead-message": refusal.detail[:_MESSAGE_CHARS],
        "dead-stack": refusal.stack if isinstance(refusal, Fault) else "",
        "dead-attempts": str(attempts),
        "dead-topic": record.topic,
        "dead-partition": str(record.partition),
        "dead-offset": str(record.offset),
        "dead-timestamp": str(record.timestamp_ms),
        "dead-truncated": "1" if truncated else "",
    }
    headers: list[tuple[str, bytes | None]] = [(name, value.encode()) for name, value in facts.items() if value]
    headers += [(f"{_PREFIX}{name}", value) for name, value in record.headers]
    return Message(topics.DEAD, record.key, body[:_TRUNCATED_BYTES] if truncated and body else body, tuple(headers))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of articles.dead, read back."""

    original: Record
    stage: str
    reason: str
    message: str
    stack: str
    attempts: int
    truncated: bool

    @property
    def place(self) -> str:
        """topic/partition/offset of the original: names the dead letter, and is equal for its redeliveries."""
        return f"{self.original.topic}/{self.original.partition}/{self.original.offset}"

    @classmethod
    def from_record(cls, record: Record) -> "DeadLetter":
        facts = {n: (value or b"").decode("utf-8", "replace") for n, value in record.headers if n.startswith("dead-")}
        original = Record(
            topic=facts.get("dead-topic", ""),
            partition=_number(facts, "dead-partition"),
            offset=_number(facts, "dead-offset"),
            timestamp_ms=_number(facts, "dead-timestamp"),
            key=record.key,
            value=record.value,
            headers=_original_headers(record.headers),
        )
        return cls(
            original=original,
            stage=facts.get("dead-stage", ""),
            reason=facts.get("dead-reason", "unknown"),
            message=facts.get("dead-message", ""),
            stack=facts.get("dead-stack", ""),
            attempts=_number(facts, "dead-attempts"),
            truncated="dead-truncated" in facts,
        )


def _original_headers(headers: Headers) -> Headers:
    return tuple((name.removeprefix(_PREFIX), value) for name, value in headers if name.startswith(_PREFIX))


def _number(facts: dict[str, str], name: str) -> int:
    return whole_number(facts.get(name, "").encode()) or 0
