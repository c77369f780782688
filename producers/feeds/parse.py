"""Bytes of a document -> Feed. Runs in a worker process: hostile documents may cost time, never the service."""

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urljoin

from producers.feeds.charset import xml_text
from producers.feeds.dates import first_plausible
from producers.feeds.entry import Entry, Feed, RawEntry
from producers.feeds.errors import ParseError
from producers.feeds.html_text import one_line, plain_text
from producers.feeds.identity import canonical_url, entry_keys, guid_key, readable_url
from producers.feeds.json_feed import looks_like_json, read_json_feed
from producers.feeds.xml_feed import read_xml_feed

MAX_ENTRIES = 2_000
"""Entries read from one document. The longest feeds in the wild list some hundreds."""

_MAX_TITLE_CHARS = 1_000
_MAX_TEXT_CHARS = 100_000
_MAX_LINK_CHARS = 2_048
_MAX_CATEGORIES = 8


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes came from: `feed_url` scopes the ids and stays; `base_url` resolves relative links."""

    feed_url: str
    base_url: str
    content_type: str = ""


def parse_feed(body: bytes, source: Source, max_entries: int = MAX_ENTRIES) -> Feed:
    """Read a feed of any format.

    Raises:
        ParseError: `empty`, `entities`, `broken_json` or `not_a_feed`.
    """
    text = xml_text(body, source.content_type)
    if not text.strip():
        raise ParseError("empty", "the server sent an empty document")
    if looks_like_json(text):
        title, raw, cut = read_json_feed(text, max_entries)
        form, notes = "json", ["entries_cut"] if cut else []
    else:
        form, title, raw, notes = read_xml_feed(text, source.base_url, max_entries)
    raw = [_linked(entry, source.base_url) for entry in raw]
    keyed = dict(zip(entry_keys(source.feed_url, raw), raw, strict=True))
    now = datetime.now(UTC)
    entries = tuple(_entry(keys, entry, source.feed_url, now) for keys, entry in keyed.items())
    good = tuple(entry for entry in entries if entry.title or entry.text)
    if any(entry.dates and made.published is None for entry, made in zip(keyed.values(), entries, strict=True)):
        notes.append("implausible_dates")
    return Feed(form, one_line(title)[:_MAX_TITLE_CHARS], good, tuple(notes), dropped=len(entries) - len(good))


def _linked(entry: RawEntry, base_url: str) -> RawEntry:
    """With an absolute link, from the guid where there is no other; links that open no page are dropped."""
    link = entry.link or (entry.guid if entry.guid.startswith(("http://", "https://")) else "")
    try:
        link = urljoin(base_url, link) if link else ""
    except ValueError:
        link = ""
    if len(link) > _MAX_LINK_CHARS or not link.startswith(("http://", "https://")):
        link = ""
    return RawEntry(entry.guid, link, entry.title, entry.body, entry.dates, entry.language, entry.categories)


def _entry(keys: tuple[str, ...], entry: RawEntry, feed_url: str, now: datetime) -> Entry:
    of_guid = guid_key(feed_url, entry.guid)
    categories = dict.fromkeys(one_line(name)[:40] for name in entry.categories[:_MAX_CATEGORIES])
    return Entry(
        keys=keys,
        title=one_line(entry.title)[:_MAX_TITLE_CHARS],
        text=plain_text(entry.body)[:_MAX_TEXT_CHARS],
        link=readable_url(entry.link) if canonical_url(entry.link) else None,
        published=first_plausible(entry.dates, now),
        language=entry.language or None,
        categories=tuple(filter(None, categories)),
        guid_key=of_guid if of_guid in keys else None,
    )
