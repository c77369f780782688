"""The board's memory: what the outer topics said, in one SQLite file of bounded size.

Everything in it comes from Kafka, and the position in each partition is stored in the same transaction as the
rows. A file that is deleted, or of another schema, is built again from the topics.
"""

import contextlib
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from consumers.active import Announcement
from consumers.board.database import open_history, row_of, spaced
from consumers.dead import DeadLetter
from consumers.records import Record
from core import topics
from core.errors import RefusedRecord
from core.gated import Gated
from core.messages import Labelled, decode_object
from core.scoring import LOWEST_TIER

log = logging.getLogger(__name__)

DEFAULT_LIMIT = 100_000
"""Articles kept, at about 4.3 KB each with six filters: 430 MB."""

PRUNE_EVERY = 500
TEASER_CHARS = 320
TITLE_CHARS = 500
LINE_CHARS = 300
URL_CHARS = 2_000
FILTERS_BYTES = 65_536
PREVIEW_CHARS = 400


class HistoryWriter:
    """Applies records to the file, one transaction per batch. Applying a record twice changes nothing."""

    def __init__(self, path: Path, limit: int = DEFAULT_LIMIT) -> None:
        self._db = open_history(path)
        self._limit = limit
        self._until_prune = 0
        self._apply: Mapping[str, Callable[[Record], None]] = {
            topics.GATED: self._gated,
            topics.SCORED: self._scored,
            topics.REJECTED: self._rejected,
            topics.DEAD: self._dead,
            topics.ORACLE_LABELS: self._labelled,
            topics.RELEASES: self._released,
        }

    def close(self) -> None:
        self._db.close()

    def positions(self) -> dict[tuple[str, int], tuple[int, int, bytes | None]]:
        """Last record applied, by topic and partition: offset, timestamp and key."""
        rows = self._db.execute("SELECT topic, partition, offset, timestamp_ms, key FROM positions")
        return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}

    def apply(self, records: Sequence[Record]) -> int:
        """Apply a batch; returns how many records were not understood and skipped."""
        skipped = 0
        with self._transaction():
            for record in records:
                try:
                    self._apply[record.topic](record)
                except (RefusedRecord, KeyError, TypeError, ValueError, AttributeError) as error:
                    skipped += 1
                    log.debug("%s/%d/%d skipped: %r", record.topic, record.partition, record.offset, error)
            last = {(record.topic, record.partition): record for record in records}
            self._db.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?)",
                [(r.topic, r.partition, r.offset, r.timestamp_ms, r.key) for r in last.values()],
            )
            self._until_prune -= len(records)
            if self._until_prune <= 0:
                self._prune()
                self._until_prune = PRUNE_EVERY
        return skipped

    @contextlib.contextmanager
    def _transaction(self) -> Any:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _gated(self, record: Record) -> None:
        self._teaser(Gated.from_bytes(record.body).article.to_dict(), record.timestamp_ms)

    def _teaser(self, article: dict[str, Any], at_ms: int) -> None:
        """The first lines of the text, which no verdict carries."""
        teaser = _line(article.get("text"), TEASER_CHARS)
        row = self._db.execute(
            """INSERT INTO articles (n, id, kind, at_ms, title, url, source, language, teaser)
               VALUES (?, ?, 'waiting', ?, ?, ?, ?, ?, ?)
               ON CONFLICT (id) DO UPDATE SET teaser = excluded.teaser WHERE teaser != excluded.teaser
               RETURNING n, kind""",
            (
                row_of(str(article["id"])), str(article["id"]), at_ms, _line(article.get("title"), TITLE_CHARS),
                _line(article.get("url"), URL_CHARS) or None,
                _line(article.get("source"), LINE_CHARS) or None, _code(article.get("language")), teaser,
            ),
        ).fetchone()  # fmt: skip
        if row and row["kind"] != "waiting":
            self._db.execute("UPDATE search SET teaser = ? WHERE rowid = ?", (spaced(teaser), row["n"]))

    def _scored(self, record: Record) -> None:
        message = decode_object(record.body)
        filters = {str(name): _checked(result) for name, result in message["filters"].items()}
        verdicts = [(name, result["tier"], result["weighted"]) for name, result in filters.items()]
        plain = orjson.dumps(filters)
        if len(plain) > FILTERS_BYTES:
            raise ValueError(f"{len(plain)} bytes of verdicts")
        packed = zlib.compress(plain, 1)
        notable = any(tier != LOWEST_TIER for _, tier, _ in verdicts)
        n = self._verdict(record, message, kind="scored", notable=notable, filters=packed)
        if n is None:
            return
        language = _code(message.get("language"))
        self._db.executemany(
            "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?)",
            [(n, name, tier, weighted, record.timestamp_ms, language) for name, tier, weighted in verdicts],
        )

    def _rejected(self, record: Record) -> None:
        message = decode_object(record.body)
        self._verdict(record, message, kind="rejected", reason=str(message["reason"]))

    def _verdict(
        self, record: Record, message: dict[str, Any], *, kind: str, reason: str | None = None, notable: bool = False,
        filters: bytes | None = None,
    ) -> int | None:  # fmt: skip
        """Store the verdict; returns the article's row, or None where the very same verdict is stored already."""
        raw_ms = record.header("trace-raw-ts")
        latency_ms = max(0, record.timestamp_ms - int(raw_ms)) if raw_ms and raw_ms.isdigit() else None
        row = self._db.execute(
            """INSERT INTO articles (n, id, kind, at_ms, title, url, source, language, published, commerce, reason,
                                     detail, releases, notable, latency_ms, filters, seq)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM articles))
               ON CONFLICT (id) DO UPDATE SET
                   kind = excluded.kind, at_ms = excluded.at_ms, title = excluded.title, url = excluded.url,
                   source = excluded.source, language = excluded.language, published = excluded.published,
                   commerce = excluded.commerce, reason = excluded.reason, detail = excluded.detail,
                   releases = excluded.releases, notable = excluded.notable, latency_ms = excluded.latency_ms,
                   filters = excluded.filters, seq = excluded.seq
               WHERE kind != excluded.kind OR filters IS NOT excluded.filters OR reason IS NOT excluded.reason
                  OR releases IS NOT excluded.releases OR title != excluded.title
               RETURNING n, teaser""",
            (
                row_of(str(message["id"])), str(message["id"]), kind, record.timestamp_ms,
                _line(message.get("title"), TITLE_CHARS),
                _line(message.get("url"), URL_CHARS) or None, _line(message.get("source"), LINE_CHARS) or None,
                _code(message.get("language")), _line(message.get("published"), 40) or None, message.get("commerce"),
                reason, _line(message.get("detail"), LINE_CHARS) or None, message.get("releases"), notable, latency_ms,
                filters,
            ),
        ).fetchone()  # fmt: skip
        if row is None:
            return None
        n = int(row["n"])
        self._db.execute("DELETE FROM verdicts WHERE n = ?", (n,))
        words = [_line(message.get("title"), TITLE_CHARS), _line(message.get("source"), LINE_CHARS), row["teaser"]]
        self._db.execute("INSERT OR REPLACE INTO search (rowid, title, source, teaser) VALUES (?, ?, ?, ?)",
                         (n, *map(spaced, words)))  # fmt: skip
        return n

    def _labelled(self, record: Record) -> None:
        labelled = Labelled.from_bytes(record.body)
        for label in labelled.labels.values():
            _numbers(label.propensity, label.cost_usd, label.weighted or 0, *label.scores.values())
        self._teaser(labelled.article.to_dict(), record.timestamp_ms)
        self._db.executemany(
            "INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?)",
            [
                (labelled.article.id, name, record.timestamp_ms, orjson.dumps(label.to_dict()))
                for name, label in labelled.labels.items()
            ],
        )

    def _dead(self, record: Record) -> None:
        letter = DeadLetter.from_record(record)
        self._db.execute(
            "INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                letter.place, record.timestamp_ms, letter.stage, letter.reason, letter.message[:LINE_CHARS],
                letter.attempts, (record.key or b"").decode("utf-8", "replace")[:LINE_CHARS],
                record.body[:PREVIEW_CHARS].decode("utf-8", "replace"),
            ),
        )  # fmt: skip

    def _released(self, record: Record) -> None:
        announcement = Announcement.from_record(record.key, record.value)
        self._db.execute(
            "INSERT OR REPLACE INTO releases VALUES (?, ?, ?, ?)",
            (announcement.name, announcement.version, announcement.sha256, record.timestamp_ms),
        )

    def _prune(self) -> None:
        """Forget the oldest articles, labels and dead letters beyond the limit."""
        for table in ("labels", "dead"):
            self._db.execute(
                f"DELETE FROM {table} WHERE at_ms < (SELECT at_ms FROM {table} ORDER BY at_ms DESC LIMIT 1 OFFSET ?)",
                (self._limit,),
            )
        (count,) = self._db.execute("SELECT count(*) FROM articles").fetchone()
        if count <= self._limit:
            return
        oldest = "SELECT n FROM articles ORDER BY at_ms LIMIT ?"
        for statement in ("DELETE FROM search WHERE rowid IN", "DELETE FROM verdicts WHERE n IN"):
            self._db.execute(f"{statement} ({oldest})", (count - self._limit,))
        self._db.execute(f"DELETE FROM articles WHERE n IN ({oldest})", (count - self._limit,))
        self._db.execute("PRAGMA incremental_vacuum(2000)")


def _checked(result: dict[str, Any]) -> dict[str, Any]:
    """One filter's result as the pages rely on it; raises ValueError, TypeError or KeyError for any other."""
    interval = result["interval"]
    _numbers(result["weighted"], *result["scores"].values(), *(interval or ()))
    if interval and len(interval) != 2:
        raise ValueError(f"an interval of {len(interval)} numbers")
    if not all(isinstance(result[name], str) for name in ("version", "stage", "tier")):
        raise TypeError("version, stage and tier are text")
    return result


def _numbers(*values: Any) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{value!r} is no number")


def _line(value: Any, limit: int) -> str:
    """One line of at most `limit` characters; anything but a string is empty."""
    return " ".join(value[: limit * 2].split())[:limit] if isinstance(value, str) else ""


def _code(value: Any) -> str:
    return value.lower()[:12] if isinstance(value, str) else ""
