"""RSS 0.90 to 2.0, RDF and Atom, through feedparser; what could make parsing dear is refused or cut before."""

import io
import re
from html import unescape
from itertools import islice
from typing import Any
from urllib.parse import urljoin

import feedparser

from producers.feeds.dates import from_struct_time
from producers.feeds.entry import RawEntry
from producers.feeds.errors import ParseError

_ENTRY_START = re.compile(r"<(?:[A-Za-z][\w.-]{0,40}:)?(?:item|entry)(?=[\s>/])")
_ENTRY_END = re.compile(r"</(?:[A-Za-z][\w.-]{0,40}:)?(?:item|entry)\s*>|<(?:item|entry)\s*/>")
_PROLOG = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->|\s)*", re.DOTALL)
_DOCTYPE_WITH_SUBSET = re.compile(r"<!DOCTYPE[^\[>]*\[", re.IGNORECASE)
_FEED_LINK = re.compile(
    r"""<link\b(?=[^>]*\btype\s*=\s*["']?application/(?:rss|atom|feed)\+(?:xml|json))[^>]*\bhref\s*=\s*["']?([^"'\s>]+)""",
    re.IGNORECASE,
)


def read_xml_feed(text: str, url: str, max_entries: int) -> tuple[str, str, list[RawEntry], list[str]]:
    """Format, title, entries and notes of a document.

    Raises:
        ParseError: `entities` for a document type with declarations of its own, `not_a_feed` for other documents.
    """
    refuse_declarations(text)
    text, cut = cut_entries(text, max_entries)
    parsed = feedparser.parse(
        io.BytesIO(text.encode("utf-8", "replace")),
        response_headers={"content-type": "application/xml; charset=utf-8", "content-location": url},
        # Bodies become plain text (html_text): sanitising them first would be half of the cost.
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    if not parsed.version and not parsed.entries:
        raise _not_a_feed(text, url)
    language = str(parsed.feed.get("language") or "")
    entries = [_entry(entry, language) for entry in parsed.entries[:max_entries]]
    notes = ["entries_cut"] if cut else []
    if parsed.bozo:
        notes.append("broken_xml")
        if entries and len(_ENTRY_START.findall(text)) > len(_ENTRY_END.findall(text)):
            # The transfer ended inside the last entry: a later poll brings it whole.
            entries.pop()
    return parsed.version or "unknown", str(parsed.feed.get("title") or ""), entries, notes


def refuse_declarations(text: str) -> None:
    """No feed needs entities of its own; bombs do. Comments and instructions may stand before the document type."""
    start = _PROLOG.match(text)
    if start and _DOCTYPE_WITH_SUBSET.match(text, start.end()):
        raise ParseError("entities", "the document type declares entities or elements of its own")


def cut_entries(text: str, max_entries: int) -> tuple[str, bool]:
    """The document with its first `max_entries` entries (feeds list the newest first) and its own end."""
    beyond = next(islice(_ENTRY_START.finditer(text), max_entries, None), None)
    if beyond is None:
        return text, False
    last_end = max(text.rfind("</item>"), text.rfind("</entry>"))
    tail = text[text.find(">", last_end) + 1 :] if last_end > beyond.start() else ""
    return text[: beyond.start()] + tail, True


def _entry(entry: Any, feed_language: str) -> RawEntry:
    bodies = [part.get("value") or "" for part in entry.get("content", ())]
    bodies.append(entry.get("summary") or "")
    # dict.get: feedparser's own would answer `published` for a missing `updated`, with a warning each time.
    dates = (from_struct_time(dict.get(entry, f"{name}_parsed")) for name in ("published", "updated", "created"))
    return RawEntry(
        guid=str(entry.get("id") or "").strip(),
        link=_link(entry),
        title=str(entry.get("title") or ""),
        body=max(bodies, key=len),
        dates=tuple(filter(None, dates)),
        language=str(entry.get("language") or feed_language),
        categories=tuple(tag.term for tag in entry.get("tags", ()) if tag.get("term")),
    )


def _link(entry: Any) -> str:
    """The link a reader would open; of feedproxies the publisher's own, where they tell it."""
    return str(entry.get("feedburner_origlink") or entry.get("link") or "").strip()


def _not_a_feed(text: str, url: str) -> ParseError:
    if found := _FEED_LINK.search(text[:200_000]):
        return ParseError("not_a_feed", "a web page", f"It names this feed: {urljoin(url, unescape(found[1]))}")
    kind = "a web page" if re.search(r"<html|<!doctype html", text[:2_000], re.IGNORECASE) else "no known format"
    return ParseError("not_a_feed", kind, "Look for the site's RSS or Atom address.")
