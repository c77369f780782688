"""Wire messages of the topics: one type per topic, with its JSON form; that of articles.gated is in core/gated.py.

Payloads hold nothing that differs between two deliveries of the same article; times, attempts, trace ids
and the engine travel in headers.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from core.article import Article, article_from_dict
from core.errors import RefusedRecord
from core.parts import part

SCHEMA = 1


def encode(message: dict[str, Any]) -> bytes:
    """The one JSON encoder of all topics; dataclasses within become objects of their fields."""
    return orjson.dumps(message)


def decode_object(body: bytes, schema: int = SCHEMA) -> dict[str, Any]:
    """Decode one of our own messages; anything else is refused."""
    try:
        record = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedRecord("not_json", str(error)) from None
    if not isinstance(record, dict):
        raise RefusedRecord("not_an_object", f"expected a JSON object, got {type(record).__name__}")
    if record.get("schema") != schema:
        raise RefusedRecord("unknown_schema", f"schema {record.get('schema')!r}, this version reads {schema}")
    return record


def _outcome(article: Article, **fields: Any) -> bytes:
    """A record about an article, without its text."""
    record = {
        "schema": SCHEMA,
        "id": article.id,
        "title": article.title,
        "url": article.url,
        "source": article.source,
        "language": article.language,
        **fields,
    }
    if article.tags:
        record["tags"] = article.tags
    if article.extra:
        record["extra"] = article.extra
    return encode(record)


@dataclass
class FilterResult:
    """One filter's part of a scored record; the fields are those of articles.scored.

    Not frozen: every article has one of each filter, and freezing makes that seven times as slow.
    """

    version: str
    stage: str
    scores: dict[str, float]
    weighted: float
    interval: tuple[float, float] | None
    tier: str
    gatekeeper: str | None
    percentile: float | None
    oracle: str | None


@dataclass(frozen=True)
class Scored:
    """articles.scored."""

    article: Article
    commerce: float
    filters: dict[str, FilterResult]
    releases: str

    def to_bytes(self) -> bytes:
        return _outcome(
            self.article,
            published=self.article.published,
            commerce=self.commerce,
            filters=self.filters,
            releases=self.releases,
        )


@dataclass(frozen=True)
class Rejected:
    """articles.rejected. `reason` is a code that doubles as a metric label."""

    article: Article
    reason: str
    detail: str
    commerce: float | None = None

    def to_bytes(self) -> bytes:
        return _outcome(self.article, reason=self.reason, detail=self.detail, commerce=self.commerce)


@dataclass(frozen=True)
class OracleAsk:
    """One filter's part of an oracle request: why it was chosen and with what probability."""

    version: str
    reason: str
    propensity: float
    weighted: float
    stage: str


@dataclass(frozen=True)
class OracleRequest:
    """oracle.requests: one per article, with all its filters."""

    article: Article
    filters: dict[str, OracleAsk]
    releases: str

    def to_bytes(self) -> bytes:
        return encode(
            {
                "schema": SCHEMA,
                "article": self.article.to_dict(),
                "filters": self.filters,
                "releases": self.releases,
            }
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> "OracleRequest":
        record = decode_object(body)
        try:
            filters = {name: part(OracleAsk, ask) for name, ask in record["filters"].items()}
            return cls(article_from_dict(record["article"]), filters, str(record["releases"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise RefusedRecord("wrong_type", f"not an oracle request: {error!r}") from None


@dataclass(frozen=True)
class OracleLabel:
    """One filter's part of oracle.labels: scores on 0-10 and where they came from.

    `propensity` is the probability that this label was asked for (routing times budget); `weighted` and
    `stage` are what the stream had predicted, for live quality estimates. `evidence` holds quotes by
    dimension, and only such as do occur in the text.
    """

    version: str
    scores: dict[str, float]
    oracle: str
    prompt_hash: str
    propensity: float
    reason: str
    weighted: float | None = None
    stage: str | None = None
    cost_usd: float = 0.0
    evidence: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Declined:
    """A filter of a request that was not asked. `cost_usd` is what it was expected to cost."""

    reason: Literal["budget", "unknown_filter"]
    propensity: float
    cost_usd: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {"reason": self.reason, "propensity": self.propensity, "cost_usd": self.cost_usd}


@dataclass(frozen=True)
class Labelled:
    """oracle.labels: the answer to one request, with the article it judged.

    Each filter of the request is either in `labels` or in `declined`.
    """

    article: Article
    labels: dict[str, OracleLabel]
    releases: str
    declined: dict[str, Declined] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        return encode(
            {
                "schema": SCHEMA,
                "article": self.article.to_dict(),
                "labels": self.labels,
                "declined": self.declined,
                "releases": self.releases,
            }
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> "Labelled":
        record = decode_object(body)
        try:
            labels = {name: part(OracleLabel, label) for name, label in record["labels"].items()}
            declined = {name: part(Declined, one) for name, one in record.get("declined", {}).items()}
            return cls(article_from_dict(record["article"]), labels, str(record["releases"]), declined)
        except (KeyError, TypeError, AttributeError) as error:
            raise RefusedRecord("wrong_type", f"not a labelled article: {error!r}") from None
