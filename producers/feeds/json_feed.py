"""JSON Feed 1.0 and 1.1 (jsonfeed.org/version/1.1)."""

from typing import Any

import orjson

from producers.feeds.entry import RawEntry
from producers.feeds.errors import ParseError


def looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def read_json_feed(text: str, max_entries: int) -> tuple[str, list[RawEntry], bool]:
    """Title, entries and whether entries were cut.

    Raises:
        ParseError: `broken_json`, or `not_a_feed` for other JSON.
    """
    try:
        document = orjson.loads(text.encode("utf-8", "replace"))
    except orjson.JSONDecodeError as error:
        raise ParseError("broken_json", str(error)) from None
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list) or "jsonfeed.org/version/" not in str(document.get("version", "")):
        raise ParseError("not_a_feed", "JSON, but no JSON Feed: `version` or `items` is missing")
    language = _text(document, "language")
    entries = [_entry(item, language) for item in items[:max_entries] if isinstance(item, dict)]
    return _text(document, "title"), entries, len(items) > max_entries


def _entry(item: dict[str, Any], feed_language: str) -> RawEntry:
    guid, tags = item.get("id"), item.get("tags")
    return RawEntry(
        guid=str(guid) if isinstance(guid, str | int | float) else "",
        link=_text(item, "url") or _text(item, "external_url"),
        title=_text(item, "title"),
        body=max(_text(item, "content_html"), _text(item, "content_text"), _text(item, "summary"), key=len),
        dates=tuple(filter(None, (_text(item, "date_published"), _text(item, "date_modified")))),
        language=_text(item, "language") or feed_language,
        categories=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
    )


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""
