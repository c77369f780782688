"""Feeds that any reader can follow: Atom (RFC 4287) and JSON Feed 1.1 per filter, tier and language."""

import hashlib
import html
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urljoin
from xml.etree import ElementTree

import orjson
from starlette.requests import Request
from starlette.responses import Response

from consumers.board.explain import Explanation
from consumers.board.queries import Item

ATOM = "http://www.w3.org/2005/Atom"
MAX_ENTRIES = 200
MAX_AGE_SEC = 60

# Characters that XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://stillhouse.invalid/feeds")

ElementTree.register_namespace("", ATOM)


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed. `home` and `address` are absolute: of the same view on the board, and of the feed itself."""

    title: str
    subtitle: str
    home: str
    address: str
    entries: Sequence[tuple[Item, Explanation]]

    @property
    def updated_ms(self) -> int:
        return max((item.at_ms for item, _ in self.entries), default=0)


def entry_id(item: Item, explanation: Explanation) -> str:
    """The same for the same article and filter, whatever version scored it and whichever board serves it."""
    return uuid.uuid5(_NAMESPACE, f"{explanation.name}\n{item.id}").urn


def atom(feed: Feed) -> bytes:
    root = ElementTree.Element(f"{{{ATOM}}}feed")
    _text(root, "id", feed.address)
    _text(root, "title", feed.title)
    _text(root, "subtitle", feed.subtitle)
    _text(root, "updated", _iso(feed.updated_ms))
    _link(root, "self", feed.address, "application/atom+xml")
    _link(root, "alternate", feed.home, "text/html")
    _text(ElementTree.SubElement(root, f"{{{ATOM}}}author"), "name", "Stillhouse")
    for item, explanation in feed.entries:
        entry = ElementTree.SubElement(root, f"{{{ATOM}}}entry")
        _text(entry, "id", entry_id(item, explanation))
        _text(entry, "title", item.title or "Untitled")
        _text(entry, "updated", _iso(item.at_ms))
        if published := _published(item):
            _text(entry, "published", published)
        _link(entry, "alternate", link_of(item) or _why(feed, item), "text/html")
        _link(entry, "related", _why(feed, item), "text/html")
        if item.source:
            _text(ElementTree.SubElement(entry, f"{{{ATOM}}}author"), "name", item.source)
        for term in (f"tier:{explanation.tier}", f"filter:{explanation.name}"):
            ElementTree.SubElement(entry, f"{{{ATOM}}}category", term=_clean(term))
        _text(entry, "summary", " ".join((_score(explanation), *explanation.sentences)))
        _text(entry, "content", _body(item, explanation)).set("type", "html")
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def json_feed(feed: Feed) -> bytes:
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "description": feed.subtitle,
        "home_page_url": feed.home,
        "feed_url": feed.address,
        "items": [_json_item(feed, item, explanation) for item, explanation in feed.entries],
    }
    return orjson.dumps(document)


def conditional(request: Request, body: bytes, media_type: str, updated_ms: int) -> Response:
    """200 with validators, or 304 where the reader has this very feed (RFC 9110, section 13)."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Last-Modified": format_datetime(_when(updated_ms), usegmt=True),
        "Cache-Control": f"max-age={MAX_AGE_SEC}",
    }
    if _unchanged(request, tag, updated_ms):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def link_of(item: Item) -> str | None:
    """The article's address if it is one that a reader may follow."""
    return item.url if item.url and re.match(r"https?://[^\s\"<>\\^`{|}]+$", item.url) else None


def _unchanged(request: Request, tag: str, updated_ms: int) -> bool:
    if known := request.headers.get("if-none-match"):
        tags = [part.strip().removeprefix("W/") for part in known.split(",")]
        return tag in tags or "*" in tags
    if since := request.headers.get("if-modified-since"):
        try:
            return _when(updated_ms) <= parsedate_to_datetime(since)
        except (ValueError, TypeError):
            return False
    return False


def _json_item(feed: Feed, item: Item, explanation: Explanation) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": entry_id(item, explanation),
        "url": link_of(item) or _why(feed, item),
        "title": item.title or "Untitled",
        "summary": " ".join((_score(explanation), *explanation.sentences)),
        "content_html": _body(item, explanation),
        "date_modified": _iso(item.at_ms),
        "tags": [f"tier:{explanation.tier}", f"filter:{explanation.name}"],
        "_stillhouse": {
            "about": _why(feed, item),
            "article": item.id,
            "version": explanation.version,
            "tier": explanation.tier,
            "weighted": explanation.weighted,
            "interval": explanation.interval,
            "scores": {dimension.name: dimension.score for dimension in explanation.dimensions},
        },
    }
    if published := _published(item):
        entry["date_published"] = published
    if item.source:
        entry["authors"] = [{"name": item.source}]
    if item.language:
        entry["language"] = item.language
    return entry


def _score(explanation: Explanation) -> str:
    interval = "" if not explanation.interval else " (90% interval {:.1f} to {:.1f})".format(*explanation.interval)
    return f"{explanation.label}: {explanation.tier}, {explanation.weighted:.1f} of 10{interval}."


def _body(item: Item, explanation: Explanation) -> str:
    """HTML of an entry; every text in it is escaped."""
    parts = [f"<p>{html.escape(item.teaser)}</p>"] if item.teaser else []
    parts.append(f"<p><strong>{html.escape(_score(explanation))}</strong> ")
    parts.append(f"{html.escape(' '.join(explanation.sentences))}</p><ul>")
    parts += [f"<li>{html.escape(d.label)}: {d.score:.1f}</li>" for d in explanation.dimensions]
    return "".join((*parts, "</ul>"))


def _why(feed: Feed, item: Item) -> str:
    return urljoin(feed.home, f"/article?id={quote(item.id, safe='')}")


def _published(item: Item) -> str | None:
    """The article's own date, if it is one; dates in the future are left out."""
    try:
        date = datetime.fromisoformat(item.published or "")
    except ValueError:
        return None
    date = date.replace(tzinfo=date.tzinfo or UTC)
    return date.isoformat(timespec="seconds") if date.timestamp() * 1000 <= item.at_ms + 86_400_000 else None


def _when(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC)


def _iso(ms: int) -> str:
    return _when(ms).isoformat(timespec="seconds").replace("+00:00", "Z")


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)


def _text(parent: ElementTree.Element, name: str, text: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"{{{ATOM}}}{name}")
    element.text = _clean(text)
    return element


def _link(parent: ElementTree.Element, rel: str, href: str, media_type: str) -> None:
    ElementTree.SubElement(parent, f"{{{ATOM}}}link", rel=rel, href=_clean(href), type=media_type)
