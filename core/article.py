"""The record that travels through the stream, and the strict decoder of articles.raw."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from core.errors import RefusedRecord

MAX_BYTES = 1 << 20
"""Limit on one raw record; larger ones are dead letters, as Kafka's own default would refuse them."""

_TEXT_FIELDS = ("id", "title", "text", "url", "source", "language", "published")
_TEXT_TYPES = frozenset({str, type(None)})
_KNOWN = frozenset({*_TEXT_FIELDS, "tags", "extra"})
_MAX_ID_CHARS = 256
_MAX_DEPTH = 100
"""Of what is carried in `extra`. orjson reads 1,024 levels and writes 254, and inner topics add some of their own."""


@dataclass(frozen=True, slots=True)
class Article:
    """One article as published on articles.raw.

    `extra` holds unknown fields of the raw record: they are carried, never interpreted.
    """

    id: str
    title: str
    text: str
    url: str | None = None
    source: str | None = None
    language: str | None = None
    published: str | None = None
    tags: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """What the models read: title and text, parted by an empty line."""
        return f"{self.title}\n\n{self.text}".strip()

    def to_dict(self) -> dict[str, Any]:
        """The raw record's form, without empty optional fields."""
        record: dict[str, Any] = {"id": self.id, "title": self.title, "text": self.text}
        for name in ("url", "source", "language", "published"):
            if (value := getattr(self, name)) is not None:
                record[name] = value
        if self.tags:
            record["tags"] = list(self.tags)
        if self.extra:
            record["extra"] = self.extra
        return record


def content_id(title: str, text: str) -> str:
    """Id of an article that came without one: sha256 of title and text, first 16 hex digits."""
    return hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:16]


def decode_article(body: bytes) -> Article:
    """Decode one value of articles.raw.

    Raises:
        RefusedRecord: reason `too_large`, `not_utf8`, `not_json`, `not_an_object`, `wrong_type`, `too_deep` or `empty`.
    """
    if len(body) > MAX_BYTES:
        raise RefusedRecord("too_large", f"{len(body)} bytes, the limit is {MAX_BYTES}")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise RefusedRecord("not_utf8", f"byte {error.start} is not valid UTF-8") from None
    try:
        record = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedRecord("not_json", str(error)) from None
    if not isinstance(record, dict):
        raise RefusedRecord("not_an_object", f"expected a JSON object, got {type(record).__name__}")
    return article_from_dict(record)


def article_from_dict(record: dict[str, Any]) -> Article:
    """Validate a raw record's fields; see `decode_article` for the reasons of refusal."""
    values: list[Any] = [*map(record.get, _TEXT_FIELDS)]
    if not _TEXT_TYPES.issuperset(map(type, values)):
        raise _wrong_type(values)
    identifier, title, text, url, source, language, published = values
    title, text = title or "", text or ""
    if not title.strip() and not text.strip():
        raise RefusedRecord("empty", "neither title nor text has any content")
    identifier = identifier or content_id(title, text)
    if len(identifier) > _MAX_ID_CHARS:
        raise RefusedRecord("wrong_type", f"id has {len(identifier)} characters, the limit is {_MAX_ID_CHARS}")
    tags, extra = _tags(record.get("tags")), _extra(record)
    return Article(identifier, title, text, url, source, language, published, tags, extra)


def _wrong_type(values: Sequence[Any]) -> RefusedRecord:
    wrong = ((name, type(v)) for name, v in zip(_TEXT_FIELDS, values, strict=True) if type(v) not in _TEXT_TYPES)
    name, kind = next(wrong)
    return RefusedRecord("wrong_type", f"{name} must be a string, got {kind.__name__}")


def _tags(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise RefusedRecord("wrong_type", "tags must be a list of strings")
    return tuple(value)


def _extra(record: dict[str, Any]) -> dict[str, Any]:
    if record.keys() <= _KNOWN and "extra" not in record:
        return {}
    unknown = {key: value for key, value in record.items() if key not in _KNOWN}
    carried = record.get("extra")
    extra = {**carried, **unknown} if isinstance(carried, dict) else unknown
    if _is_deeper(extra, _MAX_DEPTH):
        raise RefusedRecord("too_deep", f"unknown fields are nested in more than {_MAX_DEPTH} levels")
    return extra


def _is_deeper(value: Any, levels: int) -> bool:
    containers = [value]
    for _ in range(levels):
        within = (inner for c in containers for inner in (c.values() if isinstance(c, dict) else c))
        containers = [inner for inner in within if isinstance(inner, dict | list)]
        if not containers:
            return False
    return True
