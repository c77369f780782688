"""The durable ClaimStore: one SQLite file under STILLHOUSE_HOME/state, shared by all screen processes of a machine."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.claims import Claim, Ownership

KEEP_SEC = 14 * 86_400
"""Twice the retention of articles.raw: no record that can still be redelivered or replayed loses its claim."""

_PRUNE_EVERY_SEC = 3_600

_TABLES = """
CREATE TABLE IF NOT EXISTS contents (id TEXT PRIMARY KEY, content TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (content TEXT PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
"""


class SqliteClaims:
    """See core.claims.ClaimStore. Safe between threads and processes; a claim survives any crash once answered.

    A full disk or a locked file raises sqlite3.OperationalError, which the delivery frame tries again.
    """

    def __init__(self, state: Path, keep_sec: float = KEEP_SEC) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self._keep_sec = keep_sec
        self._pruned_at = 0.0
        self._mutex = threading.Lock()
        self._db = sqlite3.connect(state / "claims.db", timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        # FULL: the answers must outlive a power failure as the published records do; one fsync per batch.
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_TABLES)

    def claim(self, claims: Sequence[Claim]) -> list[Ownership]:
        """In one transaction, in order: the first id to claim a content owns it."""
        if not claims:
            return []
        now = int(time.time())
        with self._mutex:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._prune(now)
                contents = self._first("contents", "id", "content", [(c.article_id, c.content, now) for c in claims])
                honest = [c for c in claims if contents[c.article_id] == c.content]
                owners = self._first("owners", "content", "id", [(c.content, c.article_id, now) for c in honest])
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        first = [contents[c.article_id] for c in claims]
        # An id that changed its content owns nothing new: it becomes a dead letter.
        return [
            Ownership(owners[c.content] if content == c.content else c.article_id, content)
            for c, content in zip(claims, first, strict=True)
        ]

    def close(self) -> None:
        self._db.close()

    def _first(self, table: str, key: str, value: str, rows: Iterable[tuple[str, str, int]]) -> dict[str, str]:
        """Insert the rows whose key is new, and answer what the table says for each key."""
        rows = list(rows)
        self._db.executemany(f"INSERT OR IGNORE INTO {table} ({key}, {value}, at) VALUES (?, ?, ?)", rows)
        marks = ",".join("?" * len(rows))  # at most a batch, 4,096; SQLite's limit is 32,766
        query = f"SELECT {key}, {value} FROM {table} WHERE {key} IN ({marks})"
        return dict(self._db.execute(query, [row[0] for row in rows]))

    def _prune(self, now: float) -> None:
        if now - self._pruned_at < _PRUNE_EVERY_SEC:
            return
        self._pruned_at = now
        for table in ("contents", "owners"):
            self._db.execute(f"DELETE FROM {table} WHERE at < ?", (now - self._keep_sec,))
