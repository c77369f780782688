"""`stillhouse feeds check URL`: what a feed would publish, and why not, without publishing or remembering."""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from core.article import Article, decode_article
from core.settings import Settings
from core.text import apply_rules, clean_article
from producers.feeds.compose import Draft, compose
from producers.feeds.entry import Entry, Feed
from producers.feeds.fetch import Fetcher
from producers.feeds.identity import article_id
from producers.feeds.pages import PageReader
from producers.feeds.poll import ACCEPT, read_feed_document
from producers.feeds.robots import Robots
from producers.feeds.schedule import HostGate
from producers.feeds.state import find
from producers.feeds.state_file import read_only
from producers.feeds.subscriptions import Fulltext, Subscription
from producers.feeds.workers import Workers


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """`outcome` is `new`, `known` (published before), or the stream's rule that will reject it; `page` says what
    became of the request for its page."""

    article: Article
    outcome: str
    page: str


@dataclass(frozen=True, slots=True)
class FeedCheck:
    """A feed that could be read, and the first of its entries."""

    url: str
    format: str
    title: str
    notes: tuple[str, ...]
    entries: int
    dropped: int
    seconds: float
    checked: list[CheckedEntry] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "format": self.format,
            "title": self.title,
            "notes": list(self.notes),
            "entries": self.entries,
            "dropped": self.dropped,
            "seconds": round(self.seconds, 3),
            "checked": [
                {"outcome": entry.outcome, "page": entry.page, **entry.article.to_dict()} for entry in self.checked
            ],
        }


async def check_feed(settings: Settings, url: str, *, limit: int, fulltext: Fulltext, delay_sec: float) -> FeedCheck:
    """Fetch and read one feed, and the pages of its first `limit` entries.

    Raises:
        FetchError, ParseError: the feed cannot be read; the message says why.
    """
    started = time.monotonic()
    gate = HostGate(delay_sec)
    workers = Workers(processes=1)
    feed = Subscription(url=url, fulltext=fulltext)
    async with Fetcher(gate, allow_private=settings.feeds_allow_private) as fetcher:
        document = await fetcher.get(url, headers={"Accept": ACCEPT})
        parsed = await read_feed_document(workers, feed, document)
        pages = PageReader(fetcher, Robots(fetcher, gate), gate)
        drafts, outcomes = [], []
        for entry in islice(parsed.entries, limit):
            answer = await pages.read(entry, fulltext)
            outcomes.append(answer.outcome)
            source = parsed.title or document.url
            drafts.append(Draft(article_id(entry.keys), entry, source, (), answer.page, answer.outcome == "paywall"))
        articles = [decode_article(made.payload) for made in await workers.run(compose, drafts)]
    with read_only(settings.state) as state:
        checked = [
            CheckedEntry(article, _outcome(state, entry, article), page)
            for article, entry, page in zip(articles, parsed.entries, outcomes, strict=False)
        ]
    return _check(document.url, parsed, checked, time.monotonic() - started)


def _check(url: str, parsed: Feed, checked: Sequence[CheckedEntry], seconds: float) -> FeedCheck:
    return FeedCheck(
        url, parsed.format, parsed.title, parsed.notes, len(parsed.entries), parsed.dropped, seconds, list(checked)
    )


def _outcome(state: sqlite3.Connection | None, entry: Entry, article: Article) -> str:
    if state is not None and find(state, entry.keys):
        return "known"
    verdict = apply_rules(clean_article(article))
    return verdict.reason if verdict else "new"
