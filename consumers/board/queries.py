"""Reads of the history. Every query is bounded in rows and in time."""

import sqlite3
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from consumers.board.database import connect, spaced
from consumers.board.views import MAX_TERMS, Cursor, View
from core.errors import TransientError

MAX_SECONDS = 2.0
PAGE = 40

_COLUMNS = """a.n, a.id, a.kind, a.at_ms, a.seq, a.title, a.url, a.source, a.language, a.published, a.teaser,
              a.commerce, a.reason, a.detail, a.releases, a.latency_ms, a.filters"""


class TooExpensive(TransientError):
    """A query ran past its time and was stopped."""


@dataclass(frozen=True, slots=True)
class Item:
    """One article with its verdict. `filters` are the results by filter name, as on articles.scored."""

    n: int
    id: str
    kind: str
    at_ms: int
    seq: int
    title: str
    url: str | None
    source: str | None
    language: str
    published: str | None
    teaser: str
    commerce: float | None
    reason: str | None
    detail: str | None
    releases: str | None
    latency_ms: int | None
    filters: dict[str, dict[str, Any]]

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.at_ms, self.n)


@dataclass(frozen=True, slots=True)
class Selection:
    """A view with its tier resolved to names of tiers, and where in the list to begin."""

    view: View
    tiers: tuple[str, ...] = ()
    before: Cursor | None = None
    newer_than: int | None = None
    limit: int = PAGE


@dataclass
class History:
    """Reader of one history file; each thread gets its own connection."""

    path: Path
    max_seconds: float = MAX_SECONDS
    _local: threading.local = field(default_factory=threading.local)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a bounded query.

        Raises:
            TooExpensive: it ran longer than `max_seconds`.
        """
        connection = self._connection()
        deadline = time.monotonic() + self.max_seconds
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 20_000)
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if time.monotonic() > deadline:
                raise TooExpensive(
                    f"The search took more than {self.max_seconds:g} s.", action="Use rarer words or fewer conditions."
                ) from None
            raise TransientError(f"The history cannot be read: {error}.", action="Try again in a moment.") from error

    def select(self, selection: Selection) -> list[Item]:
        """Articles of the view: the newest first, or with `newer_than` in the order of arrival."""
        sql, values = _statement(selection)
        return [_item(row) for row in self.rows(sql, values)]

    def newest_seq(self) -> int:
        return int(self.rows("SELECT coalesce(max(seq), 0) FROM articles")[0][0])

    def article(self, article_id: str) -> Item | None:
        rows = self.rows(f"SELECT {_COLUMNS} FROM articles a WHERE a.id = ?", (article_id,))
        return _item(rows[0]) if rows else None

    def labels(self, article_id: str) -> dict[str, dict[str, Any]]:
        """Oracle labels of one article by filter."""
        rows = self.rows("SELECT filter, label FROM labels WHERE id = ?", (article_id,))
        return {row["filter"]: orjson.loads(row["label"]) for row in rows}

    def tallies(self) -> dict[str, dict[str, int]]:
        """Scored articles by filter and tier."""
        found: dict[str, dict[str, int]] = {}
        for row in self.rows("SELECT filter, tier, count FROM tallies WHERE count > 0"):
            found.setdefault(row["filter"], {})[row["tier"]] = row["count"]
        return found

    def announced(self) -> list[sqlite3.Row]:
        """The latest announcement of each filter; withdrawn ones are left out."""
        rows = self.rows("SELECT name, version, sha256, max(at_ms) AS at_ms FROM releases GROUP BY name")
        return [row for row in rows if row["version"]]

    def counts(self, column: str, kind: str) -> dict[str, int]:
        """Articles of one kind by `language` or `reason`, most frequent first."""
        if column not in ("language", "reason"):
            raise ValueError(column)
        sql = f"SELECT {column}, count(*) FROM articles WHERE kind = ? GROUP BY {column} ORDER BY 2 DESC LIMIT 60"
        return {row[0]: row[1] for row in self.rows(sql, (kind,)) if row[0]}

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self.path, read_only=True)
        return connection


def match_expression(query: str) -> str:
    """The reader's words as an FTS5 query: all must occur, the last may be the beginning of a word."""
    terms = [term for term in spaced(query).replace('"', " ").split() if any(map(str.isalnum, term))][:MAX_TERMS]
    quoted = [f'"{term}"' for term in terms]
    if quoted and not query.endswith(" "):
        quoted[-1] += " *"
    return " ".join(quoted)


def _statement(selection: Selection) -> tuple[str, list[Any]]:
    view = selection.view
    by_verdict = bool(view.filter) and view.show != "rejected"
    source, key = ("verdicts v CROSS JOIN articles a ON a.n = v.n", "v") if by_verdict else ("articles a", "a")
    where: list[str] = []
    values: list[Any] = []

    def condition(sql: str, *arguments: Any) -> None:
        where.append(sql)
        values.extend(arguments)

    if by_verdict:
        condition("v.filter = ?", view.filter)
        if selection.tiers:
            condition(f"v.tier IN ({', '.join('?' * len(selection.tiers))})", *selection.tiers)
    else:
        condition("a.kind = ?", "rejected" if view.show == "rejected" else "scored")
        if view.show == "notable":
            condition("a.notable = 1")
        if view.show == "rejected" and view.reason:
            condition("a.reason = ?", view.reason)
    if view.language:
        condition(f"{key}.language = ?", view.language)
    if view.query:
        expression = match_expression(view.query)
        condition(
            "a.n IN (SELECT rowid FROM search WHERE search MATCH ?)" if expression else "0", *filter(None, [expression])
        )
    if selection.before:
        condition(f"({key}.at_ms, {key}.n) < (?, ?)", selection.before.at_ms, selection.before.n)
    order = f"{key}.at_ms DESC, {key}.n DESC"
    if selection.newer_than is not None:
        source, order = source.replace("verdicts v CROSS JOIN articles a", "articles a CROSS JOIN verdicts v"), "a.seq"
        condition("a.seq > ?", selection.newer_than)
    sql = f"SELECT {_COLUMNS} FROM {source} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?"
    return sql, [*values, selection.limit]


def _item(row: sqlite3.Row) -> Item:
    fields = dict(row)
    fields["filters"] = orjson.loads(zlib.decompress(row["filters"])) if row["filters"] else {}
    return Item(**fields)
