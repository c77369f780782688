"""The SQLite file of the feeds' state: its tables, its lock, and reads and writes that are whole or not at all."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from core.errors import StillhouseError, TransientError

FILE_NAME = "feeds.sqlite"

_SCHEMA = """
create table if not exists feeds(
    url text primary key, etag text, last_modified text, title text not null default '',
    outcome text not null default 'new', detail text not null default '', failures integer not null default 0,
    next_poll real not null default 0, polled_at real, read_at real, published integer not null default 0);
create table if not exists entries(
    id text primary key, feed text not null, title text not null, listed_at real not null,
    stage text not null check (stage in ('admitted', 'frozen', 'published')), content blob);
create index if not exists waiting on entries(feed) where stage != 'published';
create table if not exists keys(key text primary key, id text not null) without rowid;
create index if not exists keys_by_id on keys(id);
"""


@dataclass(frozen=True, slots=True)
class FeedState:
    """How a feed fares. `outcome` is `ok`, `unchanged`, `new` or the code of the last error."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    title: str = ""
    outcome: str = "new"
    detail: str = ""
    failures: int = 0
    next_poll: float = 0.0
    polled_at: float | None = None
    read_at: float | None = None
    published: int = 0


class StateFile:
    """Open for writing; one process at a time may hold it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _exclusive_lock(folder / "feeds.lock")
        self.path = folder / FILE_NAME
        try:
            self.db = sqlite3.connect(self.path, isolation_level=None)
            self.db.execute("pragma journal_mode=wal")
            # full: an id that Kafka has must not be forgotten by a power cut either; commits are few and batched.
            self.db.execute("pragma synchronous=full")
            self.db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._lock.close()
            raise StillhouseError(
                f"{self.path} cannot be opened: {error}.",
                action="Restore it, or move it away: every entry that feeds still list is then published again.",
            ) from None

    def close(self) -> None:
        self.db.close()
        self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            self.db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self.db.execute("rollback")
                raise
            self.db.execute("commit")
        except sqlite3.Error as error:
            raise TransientError(
                f"{self.path} cannot be written: {error}.", action="Free disk space, or mend its permissions."
            ) from None


def read_feed(db: sqlite3.Connection, url: str) -> FeedState:
    row = db.execute("select * from feeds where url = ?", (url,)).fetchone()
    return FeedState(*row) if row else FeedState(url)


def write_feed(db: sqlite3.Connection, feed: FeedState) -> None:
    db.execute(
        "insert into feeds values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict(url) do update set "
        "etag = excluded.etag, last_modified = excluded.last_modified, title = excluded.title, "
        "outcome = excluded.outcome, detail = excluded.detail, failures = excluded.failures, "
        "next_poll = excluded.next_poll, polled_at = excluded.polled_at, read_at = excluded.read_at",
        tuple(getattr(feed, name) for name in FeedState.__dataclass_fields__),
    )


@contextmanager
def read_only(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """The state for commands that only look; None before the first run."""
    file = folder / FILE_NAME
    if not file.exists():
        yield None
        return
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        yield db
    finally:
        db.close()


def _exclusive_lock(file: Path) -> IO[str]:
    """Held until closed; a killed process lets go of it."""
    handle = file.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise StillhouseError(
            f"Another process reads feeds with the state in {file.parent}.",
            action="Stop it, or give this one a STILLHOUSE_HOME of its own.",
        ) from None
    return handle
