"""Finds the record that kills the process (out of memory, native crash): attempts are counted across deaths.

Before a part of a batch is handled, its offsets are noted in a small SQLite file under STILLHOUSE_HOME/state;
afterwards the note is erased. A note whose process is gone counts as one death of each of its records. Records
with deaths are handled in parts an eighth as large per death, at last alone; one that dies alone twice is the
killer. With batches of 64: 64, 8, 1, 1, so four restarts at most. A death from outside (kill -9, power) costs
only the smaller parts, once.
"""

import contextlib
import itertools
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from consumers.records import Record
from core.errors import RefusedRecord
from core.owners import Owner

SHRINK = 8
KILLS_ALONE = 2
_KEEP_SEC = 7 * 86_400

_TABLES = """
CREATE TABLE IF NOT EXISTS running (
    owner TEXT, note INTEGER, stage TEXT, topic TEXT, partition INTEGER, offset INTEGER, alone INTEGER);
CREATE TABLE IF NOT EXISTS deaths (
    stage TEXT, topic TEXT, partition INTEGER, offset INTEGER, deaths INTEGER, alone INTEGER, seen REAL,
    PRIMARY KEY (stage, topic, partition, offset)) WITHOUT ROWID;
"""


_COUNT_DEATHS = """
INSERT INTO deaths SELECT stage, topic, partition, offset, 1, alone, ? FROM running WHERE owner = ?
ON CONFLICT DO UPDATE SET deaths = deaths + 1, alone = alone + excluded.alone, seen = excluded.seen
"""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive records of a batch, by index, that are handled in one call. `deaths` is their history."""

    indices: tuple[int, ...]
    deaths: int = 0
    killer: RefusedRecord | None = None

    def halves(self) -> tuple["Part", "Part"]:
        middle = len(self.indices) // 2
        return Part(self.indices[:middle], self.deaths), Part(self.indices[middle:], self.deaths)


class Attempts(Protocol):
    """Remembers which records were in hand when a process died."""

    def plan(self, stage: str, batch: Sequence[tuple[int, Record]]) -> list[Part]:
        """Cut a batch (index and record) into the parts in which it is to be handled, in order."""

    def running(self, stage: str, records: Sequence[Record]) -> contextlib.AbstractContextManager[None]:
        """Note the records as in hand for as long as the context is open."""

    def forget(self, stage: str, records: Sequence[Record]) -> None:
        """The records' outcomes are stored: their history is over."""


class NoAttempts:
    """For tests and stages that run no native code: every batch is one part."""

    def plan(self, stage: str, batch: Sequence[tuple[int, Record]]) -> list[Part]:
        return [Part(tuple(index for index, _ in batch))] if batch else []

    def running(self, stage: str, records: Sequence[Record]) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def forget(self, stage: str, records: Sequence[Record]) -> None: ...


class SqliteAttempts:
    """One per process. Shared by all processes of a machine through the file; safe between threads."""

    def __init__(self, state: Path) -> None:
        self._self = Owner(state / "owners")
        self._owner = self._self.name
        self._notes = itertools.count()
        self._open = True
        self._mutex = threading.Lock()
        self._db = sqlite3.connect(state / "attempts.db", timeout=10, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")  # only deaths of the process matter here, not of the machine
        self._db.executescript(_TABLES)
        self._db.execute("DELETE FROM deaths WHERE seen < ?", (time.time() - _KEEP_SEC,))

    def plan(self, stage: str, batch: Sequence[tuple[int, Record]]) -> list[Part]:
        with self._mutex:
            self._bury()
            suspects = self._suspects(stage)
        if not suspects:
            return NoAttempts().plan(stage, batch)
        return _parts([(index, *suspects.get(r[:3], (0, 0))) for index, r in batch])

    @contextlib.contextmanager
    def running(self, stage: str, records: Sequence[Record]) -> Iterator[None]:
        alone = int(len(records) == 1)
        note = next(self._notes)
        rows = [(self._owner, note, stage, r.topic, r.partition, r.offset, alone) for r in records]
        with self._mutex, self._transaction():
            self._db.executemany("INSERT INTO running VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        try:
            yield
        finally:
            with self._mutex:
                if self._open:  # a batch may outlast the drain; closing has erased its note
                    self._db.execute("DELETE FROM running WHERE owner = ? AND note = ?", (self._owner, note))

    def forget(self, stage: str, records: Sequence[Record]) -> None:
        with self._mutex:
            if self._suspects(stage):
                self._db.executemany(
                    "DELETE FROM deaths WHERE stage = ? AND topic = ? AND partition = ? AND offset = ?",
                    [(stage, *record[:3]) for record in records],
                )

    def close(self) -> None:
        """A clean end: what is still in hand was not fatal."""
        with self._mutex:
            self._open = False
            self._db.execute("DELETE FROM running WHERE owner = ?", (self._owner,))
            self._db.close()
        self._self.close()

    def _suspects(self, stage: str) -> dict[tuple[str, int, int], tuple[int, int]]:
        rows = self._db.execute("SELECT topic, partition, offset, deaths, alone FROM deaths WHERE stage = ?", (stage,))
        return {(topic, partition, offset): (deaths, alone) for topic, partition, offset, deaths, alone in rows}

    def _bury(self) -> None:
        """Turn the notes of dead processes into deaths of their records."""
        rows = self._db.execute("SELECT DISTINCT owner FROM running WHERE owner <> ?", (self._owner,)).fetchall()
        for (owner,) in rows:
            if not self._self.is_dead(owner):
                continue
            with self._transaction():
                self._db.execute(_COUNT_DEATHS, (time.time(), owner))
                self._db.execute("DELETE FROM running WHERE owner = ?", (owner,))
            self._self.bury(owner)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _parts(histories: Sequence[tuple[int, int, int]]) -> list[Part]:
    """Cut (index, deaths, deaths alone) into parts of equal history, none larger than the history allows."""
    parts: list[Part] = []
    for index, deaths, alone in histories:
        if alone >= KILLS_ALONE:
            detail = f"the process died {deaths} times with this record in hand, {alone} times with it alone"
            parts.append(Part((index,), deaths, RefusedRecord("kills_process", detail)))
            continue
        limit = max(1, len(histories) // SHRINK**deaths)
        last = parts[-1] if parts else None
        if last and not last.killer and last.deaths == deaths and len(last.indices) < limit:
            parts[-1] = Part((*last.indices, index), deaths)
        else:
            parts.append(Part((index,), deaths))
    return parts
