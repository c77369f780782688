"""What the label store keeps: entries with their origin, labels, snapshots, and their form as table rows."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import orjson

from core.article import Article
from core.errors import StillhouseError
from core.messages import Labelled
from core.text import content_hash

if TYPE_CHECKING:
    import pyarrow as pa

TableName = Literal["articles", "labels"]
TABLES: tuple[TableName, TableName] = ("articles", "labels")


class LabelStoreError(StillhouseError):
    """The label store cannot be read or written as it is."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an entry came from: a stream of positions (`app`) and the entry's place in it."""

    app: str
    position: int


@dataclass(frozen=True)
class StoredLabel:
    """One oracle's scores of one article for one filter version; what the stream had predicted beside it.

    `propensity` is the probability that this label was asked for; None where nobody chose (an import).
    """

    article_id: str
    filter: str
    version: str
    scores: Mapping[str, float]
    oracle: str
    prompt_hash: str | None = None
    propensity: float | None = None
    reason: str | None = None
    sampling: str | None = None
    weighted: float | None = None
    stage: str | None = None
    cost_usd: float = 0.0
    evidence: Mapping[str, str] = field(default_factory=dict)
    releases: str | None = None
    time: datetime | None = None
    content: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSONL form: without what is empty and without the store's own content key."""
        record = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "content"}
        record["time"] = self.time.isoformat() if self.time else None
        return {name: value for name, value in record.items() if value not in (None, {})}

    @property
    def identity(self) -> str:
        """Equal for the same label imported twice, different for two labels of one article."""
        parts: list[Any] = [self.article_id, self.filter, self.version, self.oracle, self.prompt_hash, self.reason]
        parts += [self.time.isoformat() if self.time else None, sorted(self.scores.items())]
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()


def label_from_record(record: Mapping[str, Any]) -> StoredLabel:
    """A label of a JSONL file. Raises LabelStoreError where a field is missing or of the wrong type."""
    try:
        known = {name: record[name] for name in StoredLabel.__dataclass_fields__ if record.get(name) is not None}
        known["scores"] = {str(name): float(value) for name, value in record["scores"].items()}
        if "time" in known:
            time = datetime.fromisoformat(known["time"])
            known["time"] = time if time.tzinfo else time.replace(tzinfo=UTC)
        return StoredLabel(**known)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabelStoreError(
            f"Not a label: {error!r}.", action="A label needs article_id, filter, version, oracle and numeric scores."
        ) from error


@dataclass(frozen=True)
class Entry:
    """One delivered record: an article (None where only its labels are known) and its labels."""

    origin: Origin
    article: Article | None
    labels: Sequence[StoredLabel]

    @classmethod
    def from_message(cls, labelled: Labelled, origin: Origin, time: datetime) -> "Entry":
        """From a record of oracle.labels; `time` is the record's own, so a redelivery says the same."""
        digest = content_hash(labelled.article)
        labels = [
            StoredLabel(
                article_id=labelled.article.id,
                filter=name,
                releases=labelled.releases,
                time=time,
                content=digest,
                **label.to_dict(),
            )
            for name, label in labelled.labels.items()
        ]
        return cls(origin, labelled.article if labels else None, labels)


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append changed. `skipped` entries were in the store already."""

    articles: int
    labels: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Versions of both tables; its text names a training set for good: `a7.l12`."""

    articles: int
    labels: int

    def __str__(self) -> str:
        return f"a{self.articles}.l{self.labels}"

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        if not (match := re.fullmatch(r"a(\d+)\.l(\d+)", text)):
            raise LabelStoreError(f"{text!r} is not a snapshot.", action="They look like a7.l12: see `labels stats`.")
        return cls(int(match[1]), int(match[2]))


def schema(name: TableName) -> "pa.Schema":
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    if name == "articles":
        return pa.schema([("content", text), ("id", text), ("record", text)])
    columns: dict[str, pa.DataType] = dict.fromkeys(StoredLabel.__dataclass_fields__, text)
    columns |= {"scores": pa.map_(text, number), "evidence": pa.map_(text, text), "time": pa.timestamp("us", tz="UTC")}
    columns |= dict.fromkeys(("propensity", "weighted", "cost_usd"), number)
    return pa.schema(list(columns.items()))


def label_rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    rows = []
    for label in (label for entry in entries for label in entry.labels):
        row = {name: getattr(label, name) for name in label.__dataclass_fields__}
        rows.append(row | {"scores": list(label.scores.items()), "evidence": list(label.evidence.items())})
    return rows


def label_from_row(row: dict[str, Any]) -> StoredLabel:
    time = row["time"].astimezone(UTC) if row["time"] else None
    return StoredLabel(**row | {"scores": dict(row["scores"]), "evidence": dict(row["evidence"] or ()), "time": time})
