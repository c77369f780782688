"""Every call to the oracle in a local SQLite file, so that no answer is paid twice.

    1. begin     before a call is sent, its intent is on disk
    2. finish    the answer, or the reason why there is none, is on disk before anybody acts on it
       postpone  or the call is known to be unpaid, or is to be repeated: the next `begin` may send it again

An intent whose process died may have been paid: it is finished as `interrupted` at its expected cost and not sent
again, unless somebody asks for that (`replay`). Where calls are free there is nothing to protect: it is sent again.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from core.owners import Owner

Origin = Literal["stream", "score"]

_KEEP_SEC = 60 * 86_400
"""oracle.requests keeps records for 30 days; an answer must outlive every request that may ask for it again."""

_INTERRUPTED = orjson.dumps({"reason": "interrupted", "detail": "the process died while the call ran"})

_TABLES = """
CREATE TABLE IF NOT EXISTS asks (
    key TEXT PRIMARY KEY, origin TEXT, started REAL, state TEXT, filters TEXT, estimate_usd REAL,
    cost_usd REAL, replay INTEGER, owner TEXT, outcome BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS asks_started ON asks (started);
CREATE TABLE IF NOT EXISTS decisions (key TEXT PRIMARY KEY, made REAL, body BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (run TEXT, job TEXT PRIMARY KEY, made REAL, keys BLOB) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Intent:
    """A call about to be sent. `outlives` is True for a batch job, which goes on when its process dies.

    `replay` counts how often somebody asked knowingly to repeat a failed ask: a higher number opens it again.
    """

    key: str
    origin: Origin
    filters: tuple[str, ...]
    estimate_usd: float
    replay: int = 0
    outlives: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an ask: `answered` with an answer, or `failed` with a reason.

    `cost_usd` covers all its calls; `replay` is the intent's.
    """

    state: Literal["answered", "failed"]
    outcome: dict[str, Any]
    cost_usd: float
    replay: int = 0


@dataclass(frozen=True, slots=True)
class Busy:
    """Another call with this key is on its way."""


@dataclass(frozen=True, slots=True)
class Spend:
    """One ask that cost money, for the budget."""

    key: str
    at: float
    filters: tuple[str, ...]
    cost_usd: float


class Ledger:
    """Shared by all processes of a machine; safe between threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._owner = Owner(path.parent / "owners")
        self._underway: set[str] = set()
        self._mutex = threading.Lock()
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # an answer is worth more than the 5 ms of a sync
        self._db.executescript(_TABLES)

    def begin(self, intent: Intent, now: float) -> Finished | Busy | None:
        """Note the intent, or say what is known already. None: the caller is to send the call now."""
        with self._transaction():
            row = self._db.execute(
                "SELECT state, owner, estimate_usd, cost_usd, replay FROM asks WHERE key = ?", (intent.key,)
            ).fetchone()
            state, owner, estimate_usd, cost_usd, replay = row or ("postponed", "", 0.0, 0.0, 0)
            if state == "asked" and self._goes_on(intent.key, owner):
                return Busy()
            if state == "asked" and estimate_usd > 0:
                state, cost_usd = "failed", cost_usd + estimate_usd
                self._update(intent.key, state, cost_usd, _INTERRUPTED)
            if state == "answered" or (state == "failed" and intent.replay <= replay):
                return self._finished(intent.key)
            owner = "" if intent.outlives else self._owner.name
            call = (intent.key, intent.origin, now, "asked", ",".join(intent.filters))
            money = (intent.estimate_usd, cost_usd, max(replay, intent.replay))
            self._db.execute(
                "INSERT OR REPLACE INTO asks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", (*call, *money, owner)
            )
            self._underway.add(intent.key)
            return None

    def postpone(self, key: str, cost_usd: float) -> None:
        """The call ended without an outcome and may be sent again; `cost_usd` is what it cost, often nothing."""
        with self._end(key):
            self._db.execute(
                "UPDATE asks SET state = 'postponed', cost_usd = cost_usd + ? WHERE key = ?", (cost_usd, key)
            )

    def finish(
        self, key: str, state: Literal["answered", "failed"], outcome: dict[str, Any], cost_usd: float
    ) -> Finished:
        """Store the end of an ask; `cost_usd` is that of the last call. Returns it with the cost of all its calls."""
        with self._end(key):
            (before,) = self._db.execute("SELECT cost_usd FROM asks WHERE key = ?", (key,)).fetchone()
            self._update(key, state, before + cost_usd, orjson.dumps(outcome))
        return Finished(state, outcome, before + cost_usd)

    def lookup(self, key: str) -> Finished | None:
        """How an ask ended, None where it did not."""
        with self._mutex:
            return self._finished(key)

    def decide(self, key: str, now: float, body: dict[str, Any]) -> dict[str, Any]:
        """Store a decision once; a redelivered request gets the one made first."""
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO decisions VALUES (?, ?, ?)", (key, now, orjson.dumps(body)))
            (stored,) = self._db.execute("SELECT body FROM decisions WHERE key = ?", (key,)).fetchone()
        decision: dict[str, Any] = orjson.loads(stored)
        return decision

    def decision(self, key: str) -> dict[str, Any] | None:
        """The decision stored under this key, None where there is none."""
        row = self._db.execute("SELECT body FROM decisions WHERE key = ?", (key,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def spending(self, origin: Origin, since: float) -> list[Spend]:
        """Asks that cost money or may have, begun at or after `since`."""
        rows = self._db.execute(
            "SELECT key, started, filters, cost_usd + CASE state WHEN 'asked' THEN estimate_usd ELSE 0 END FROM asks "
            "WHERE origin = ? AND started >= ?",
            (origin, since),
        )
        return [Spend(key, at, tuple(filters.split(",")), cost) for key, at, filters, cost in rows if cost > 0]

    def add_batch(self, run: str, job: str, now: float, keys: list[str]) -> None:
        """Remember a batch job of the provider with the asks that it holds, in order."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?)", (run, job, now, orjson.dumps(keys)))

    def batches(self, run: str) -> list[tuple[str, list[str]]]:
        rows = self._db.execute("SELECT job, keys FROM batches WHERE run = ? ORDER BY made", (run,)).fetchall()
        return [(job, orjson.loads(keys)) for job, keys in rows]

    def rename_batch(self, job: str, name: str) -> None:
        with self._transaction():
            self._db.execute("UPDATE batches SET job = ? WHERE job = ?", (name, job))

    def drop_batch(self, job: str) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM batches WHERE job = ?", (job,))

    def prune(self, now: float) -> None:
        """Forget what the stream can no longer ask for."""
        with self._transaction():
            self._db.execute("DELETE FROM asks WHERE origin = 'stream' AND started < ?", (now - _KEEP_SEC,))
            self._db.execute("DELETE FROM decisions WHERE made < ?", (now - _KEEP_SEC,))

    def close(self) -> None:
        with self._mutex:
            self._db.close()
        self._owner.close()

    def _goes_on(self, key: str, owner: str) -> bool:
        """True if the call of an intent may still be answered; ours may be one whose end could not be written."""
        if owner == self._owner.name:
            return key in self._underway
        return not owner or not self._owner.is_dead(owner)

    def _finished(self, key: str) -> Finished | None:
        row = self._db.execute(
            "SELECT state, outcome, cost_usd, replay FROM asks WHERE key = ? AND state IN ('answered', 'failed')",
            (key,),
        ).fetchone()
        return Finished(row[0], orjson.loads(row[1]), row[2], row[3]) if row else None

    def _update(self, key: str, state: str, cost_usd: float, outcome: bytes) -> None:
        self._db.execute(
            "UPDATE asks SET state = ?, cost_usd = ?, outcome = ? WHERE key = ?", (state, cost_usd, outcome, key)
        )

    @contextmanager
    def _end(self, key: str) -> Iterator[None]:
        try:
            with self._transaction():
                yield
        finally:
            self._underway.discard(key)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._mutex:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
