"""The label store: two Delta tables, articles (by content) and labels, written exactly once.

Every append carries the position it came from (`Origin`) into the table's own commit as an application
transaction. The order is fixed:

    1. read the last recorded position of every origin from the table
    2. drop the entries at or before it
    3. write the rest and their new positions in ONE commit; a writer that raced us makes it fail: go to 1

Articles are committed before labels, each table with its own positions, so a kill between the two is mended
by the next delivery: step 2 drops what a table already has.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from core.article import Article, article_from_dict
from core.errors import TransientError
from core.text import content_hash
from offline.stored import (
    TABLES,
    Appended,
    Entry,
    LabelStoreError,
    Origin,
    Snapshot,
    StoredLabel,
    TableName,
    label_from_row,
    label_rows,
    schema,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

__all__ = ["Appended", "Entry", "LabelStore", "LabelStoreError", "Origin", "Snapshot", "StoredLabel"]

_RETRIES = 20
_ANSWER = ("article_id", "filter", "version", "oracle", "prompt_hash", "releases")
"""What makes two labels from the stream the same answer; imported ones name no release set and may repeat."""
_COMPACT_EVERY_COMMITS = 200
"""A stream writes a small file per batch; beyond some hundred files a scan spends its time opening them."""
_CONFIGURATION = {"delta.logRetentionDuration": "interval 3650 days"}
"""The log is what time travel reads: a training snapshot must stay readable for as long as its model is used."""


class LabelStore:
    """Articles and labels at a folder or an object storage URL (credentials from the environment)."""

    def __init__(self, url: str | Path) -> None:
        self.url = str(url).rstrip("/")
        self._contents: set[str] | None = None

    def append(self, entries: Sequence[Entry]) -> Appended:
        """Write entries that the store does not have yet, exactly once.

        Raises:
            TransientError: storage is away, or other writers won every race; the same call may succeed later.
        """
        articles, _ = self._append("articles", entries)
        labels, skipped = self._append("labels", entries)
        return Appended(articles, labels, skipped)

    def positions(self, apps: Iterable[str]) -> dict[str, int]:
        """Last recorded position of each origin whose labels the store has."""
        table = self._open("labels")
        recorded = {app: table.transaction_version(app) for app in apps} if table else {}
        return {app: position for app, position in recorded.items() if position is not None}

    def snapshot(self) -> Snapshot:
        """The present state's name; raises LabelStoreError where the store is empty."""
        versions = {name: self._existing(name).version() for name in TABLES}
        return Snapshot(versions["articles"], versions["labels"])

    def labels(
        self, filter_name: str | None = None, version: str | None = None, at: Snapshot | None = None
    ) -> list[StoredLabel]:
        """Labels in a stable order, of one filter (version) or of all."""
        wanted = {"filter": filter_name, "version": version}
        terms = [f"{column} = '{_quoted(value)}'" for column, value in wanted.items() if value is not None]
        rows = self._rows("labels", at.labels if at else None, predicate=" AND ".join(terms) or None)
        labels = [label_from_row(row) for row in rows]
        return sorted(labels, key=lambda label: (label.article_id, label.filter, label.oracle, label.identity))

    def articles(self, at: Snapshot | None = None) -> dict[str, Article]:
        """Articles by id; an id whose text was stored under another id gets that text."""
        by_content: dict[str, Article] = {}
        for row in self._rows("articles", at.articles if at else None):
            by_content.setdefault(row["content"], article_from_dict(orjson.loads(row["record"])))
        articles = {article.id: article for article in by_content.values()}
        for row in self._rows("labels", at.labels if at else None, columns=["article_id", "content"]):
            if row["article_id"] not in articles and row["content"] in by_content:
                articles[row["article_id"]] = replace(by_content[row["content"]], id=row["article_id"])
        return dict(sorted(articles.items()))

    def exists(self) -> bool:
        return self._open("labels") is not None

    def _append(self, name: TableName, entries: Sequence[Entry]) -> tuple[int, int]:
        from deltalake.exceptions import CommitFailedError

        for _ in range(_RETRIES):
            table = self._open_or_create(name)
            recorded = {app: table.transaction_version(app) for app in {e.origin.app for e in entries}}
            fresh = [e for e in entries if e.origin.position > _position(recorded[e.origin.app])]
            skipped = len(entries) - len(fresh)
            if not fresh:
                return 0, skipped
            rows = self._article_rows(table, fresh) if name == "articles" else _label_rows(table, fresh)
            try:
                _commit(table, name, rows, fresh)
            except CommitFailedError:
                # Another process committed positions of the same origin: what is fresh must be asked again.
                self._contents = None
                continue
            except OSError as error:
                raise TransientError(f"Label store {self.url}: {error}.", action="Check disk and network.") from error
            if name == "articles" and self._contents is not None:
                self._contents |= {row["content"] for row in rows}
            _compact_when_due(table)
            return len(rows), skipped
        raise TransientError(f"Label store {self.url}: lost {_RETRIES} races against other writers.")

    def _article_rows(self, table: "DeltaTable", entries: Sequence[Entry]) -> list[dict[str, Any]]:
        if self._contents is None:
            self._contents = set(_read(table, columns=["content"])["content"].to_pylist())
        rows: dict[str, dict[str, Any]] = {}
        for article in (entry.article for entry in entries if entry.article):
            digest = content_hash(article)
            if digest not in self._contents:
                record = orjson.dumps(article.to_dict()).decode()
                rows.setdefault(digest, {"content": digest, "id": article.id, "record": record})
        return list(rows.values())

    def _rows(
        self, name: TableName, version: int | None, predicate: str | None = None, columns: list[str] | None = None
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = _read(self._existing(name, version), predicate, columns).to_pylist()
        return rows

    def _existing(self, name: TableName, version: int | None = None) -> "DeltaTable":
        if table := self._open(name, version):
            return table
        raise LabelStoreError(f"No labels in {self.url}.", action="Import some: `stillhouse labels import FILE`.")

    def _open(self, name: TableName, version: int | None = None) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            return DeltaTable(f"{self.url}/{name}", version=version)
        except TableNotFoundError:
            return None
        except DeltaError as error:
            detail = f" at version {version}" if version is not None else ""
            raise LabelStoreError(f"{self.url}/{name}{detail}: {error}.", action="See `labels stats`.") from error

    def _open_or_create(self, name: TableName) -> "DeltaTable":
        from deltalake import DeltaTable

        if table := self._open(name):
            return table
        uri = f"{self.url}/{name}"
        if "://" not in uri:
            Path(uri).mkdir(parents=True, exist_ok=True)
        # mode ignore: a second process that starts at the same time finds the first one's table.
        DeltaTable.create(uri, schema(name), mode="ignore", configuration=_CONFIGURATION)
        return DeltaTable(uri)


def _label_rows(table: "DeltaTable", entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Rows of labels that the table does not have under another position.

    The oracle stage publishes at least once, so one answer may stand at two offsets. Both have the same key and so
    the same partition: whoever reads the second has the first in the table, or has lost the race for the commit.
    """
    rows = label_rows(entries)
    streamed = sorted({row["article_id"] for row in rows if row["releases"]})
    if not streamed:
        return rows
    ids = ", ".join(f"'{_quoted(article_id)}'" for article_id in streamed)
    stored = _read(table, f"article_id IN ({ids})", list(_ANSWER)).to_pylist()
    seen = {tuple(row[column] for column in _ANSWER) for row in stored}
    fresh = []
    for row in rows:
        answer = tuple(row[column] for column in _ANSWER)
        if not row["releases"] or answer not in seen:
            seen.add(answer)
            fresh.append(row)
    return fresh


def _commit(table: "DeltaTable", name: TableName, rows: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> None:
    import pyarrow as pa
    from deltalake import CommitProperties, Transaction, write_deltalake

    latest: dict[str, int] = {}
    for origin in (entry.origin for entry in entries):
        latest[origin.app] = max(origin.position, latest.get(origin.app, origin.position))
    transactions = [Transaction(app, position) for app, position in latest.items()]
    data = pa.Table.from_pylist(list(rows), schema=schema(name))
    write_deltalake(table, data, mode="append", commit_properties=CommitProperties(app_transactions=transactions))


def _read(table: "DeltaTable", predicate: str | None = None, columns: list[str] | None = None) -> "pa.Table":
    """All rows through Delta's own engine: a pyarrow dataset over it aborts some interpreters at their exit."""
    import pyarrow as pa

    return pa.table(table.scan(columns=columns, predicate=predicate))


def _compact_when_due(table: "DeltaTable") -> None:
    from deltalake.exceptions import CommitFailedError

    if table.version() % _COMPACT_EVERY_COMMITS == 0:
        try:
            table.optimize.compact()
        except CommitFailedError:
            return  # another writer compacts; the next multiple comes soon enough


def _position(recorded: int | None) -> int:
    return -1 if recorded is None else recorded


def _quoted(value: str) -> str:
    return value.replace("'", "''")
