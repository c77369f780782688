"""One poll of one feed: ask, read, admit, then publish what waits. The order that makes kills harmless is in state."""

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from core.errors import StillhouseError
from producers.feeds.compose import Composed, Draft, bare, compose
from producers.feeds.entry import Feed
from producers.feeds.errors import FetchError, ParseError
from producers.feeds.fetch import Document, Fetcher
from producers.feeds.pages import PageReader
from producers.feeds.parse import Source, parse_feed
from producers.feeds.report import RunReport
from producers.feeds.schedule import SLOW_AFTER_FAILURES, HostGate, next_poll
from producers.feeds.sink import Sink
from producers.feeds.state import FeedsState, Waiting
from producers.feeds.state_file import FeedState
from producers.feeds.subscriptions import Subscription
from producers.feeds.workers import Workers

log = logging.getLogger("stillhouse.feeds")

NEVER = 1e12
"""Time of the next poll of a feed that is gone."""

ACCEPT = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"
_BATCH = 20
"""Entries from page to confirmation at a time: with a pause of 1 s per page the first are out after 20 s."""
_MAX_VALIDATOR_CHARS = 1_000


@dataclass(frozen=True)
class Tools:
    """What the service works with."""

    state: FeedsState
    fetcher: Fetcher
    gate: HostGate
    pages: PageReader
    workers: Workers
    sink: Sink
    report: RunReport = field(default_factory=RunReport)


class Poller:
    def __init__(self, tools: Tools, rng: random.Random) -> None:
        self._tools = tools
        self._rng = rng

    async def poll(self, feed: Subscription) -> None:
        """One poll, whatever its end; what was admitted before is published even if the feed is away now."""
        before = self._tools.state.feed(feed.url)
        try:
            state = await self._read(feed, before)
        except (FetchError, ParseError) as error:
            state = self._failed(feed, before, error)
        except StillhouseError:
            raise
        except Exception as error:
            # A fault of ours that one feed brings out must not stop the others.
            log.exception("Feed %s could not be read", feed.url)
            state = self._failed(feed, before, ParseError("internal_error", repr(error)))
        self._tools.report.poll(feed.url, state.outcome, state.failures)
        await self.publish_waiting(feed)

    async def _read(self, feed: Subscription, before: FeedState) -> FeedState:
        host = urlsplit(feed.url).hostname or ""
        if self._tools.gate.paused(host):
            raise FetchError("paused", f"{host} asked for a pause")
        document = await self._tools.fetcher.get(feed.url, headers=_conditions(before))
        now = time.time()
        every_sec = feed.every_min * 60
        state = replace(before, outcome="unchanged", detail="", failures=0, polled_at=now, next_poll=now + every_sec)
        if document.unchanged:
            self._tools.state.save_feed(state)
            return state
        parsed = await read_feed_document(self._tools.workers, feed, document)
        state = replace(
            state,
            outcome="ok",
            detail=" ".join(parsed.notes),
            title=feed.name or parsed.title or host,
            read_at=now,
            etag=_validator(document, parsed, "etag"),
            last_modified=_validator(document, parsed, "last-modified"),
        )
        new = self._tools.state.admit(state, parsed.entries)
        self._tools.report.entries(new=new, known=len(parsed.entries) - new, empty=parsed.dropped)
        return state

    async def publish_waiting(self, feed: Subscription) -> None:
        title = feed.name or self._tools.state.feed(feed.url).title or urlsplit(feed.url).hostname or feed.url
        while waiting := self._tools.state.waiting(feed.url, _BATCH):
            drafts = [await self._draft(item, feed, title) for item in waiting if item.entry is not None]
            composed = self._tools.state.freeze(await self._compose(drafts))
            frozen = [(item.id, item.payload) for item in waiting if item.payload is not None]
            articles = frozen + [(article.id, article.payload) for article in composed]
            await self._tools.sink.publish(articles)
            self._tools.state.confirm(feed.url, [identifier for identifier, _ in articles])
            self._tools.report.entries(published=len(articles), same_story=len(waiting) - len(articles))
            log.info("%s: %d articles published", title, len(articles))

    async def _draft(self, item: Waiting, feed: Subscription, title: str) -> Draft:
        assert item.entry is not None
        answer = await self._tools.pages.read(item.entry, feed.fulltext)
        if answer.outcome != "not_wanted":
            self._tools.report.entries(**{"page_read" if answer.page else f"page_{answer.outcome}": 1})
        return Draft(item.id, item.entry, title, feed.tags, answer.page, answer.outcome == "paywall")

    async def _compose(self, drafts: Sequence[Draft]) -> list[Composed]:
        """Articles of the drafts. Where a page kills the worker, each is tried alone, then without its page."""
        if not drafts:
            return []
        try:
            return await self._tools.workers.run(compose, list(drafts))
        except ParseError as error:
            if len(drafts) == 1:
                log.warning("Article %s is published as the feed has it: %s", drafts[0].entry.link, error.message)
                return [bare(drafts[0])]
        return [article for draft in drafts for article in await self._compose([draft])]

    def _failed(self, feed: Subscription, before: FeedState, error: FetchError | ParseError) -> FeedState:
        wait_sec = error.retry_after_sec if isinstance(error, FetchError) else None
        if wait_sec:
            self._tools.gate.pause(urlsplit(feed.url).hostname or "", wait_sec)
        now, failures = time.time(), before.failures + (error.outcome != "paused")
        due = next_poll(now, feed.every_min * 60, failures, wait_sec, self._rng)
        if error.outcome == "gone":
            due = NEVER
        level = logging.WARNING if failures >= SLOW_AFTER_FAILURES or error.outcome == "gone" else logging.INFO
        log.log(level, "Feed %s: %s (failure %d in a row)", feed.url, error, failures)
        self._tools.report.failing[feed.url] = f"{error}"
        state = replace(
            before, outcome=error.outcome, detail=error.detail, failures=failures, polled_at=now, next_poll=due
        )
        self._tools.state.save_feed(state)
        return state


async def read_feed_document(workers: Workers, feed: Subscription, document: Document) -> Feed:
    """Parse an answer of the feed's server, in a worker.

    Raises:
        ParseError: see parse_feed and Workers.run.
    """
    source = Source(feed.url, document.url, document.headers.get("content-type", ""))
    return await workers.run(_parse, (document.body, source))


def _parse(arguments: tuple[bytes, Source]) -> Feed:
    return parse_feed(*arguments)


def _conditions(state: FeedState) -> dict[str, str]:
    headers = {"Accept": ACCEPT}
    if state.etag:
        headers["If-None-Match"] = state.etag
    if state.last_modified:
        headers["If-Modified-Since"] = state.last_modified
    return headers


def _validator(document: Document, parsed: Feed, header: str) -> str | None:
    """None for a document that arrived damaged: it must be read again even if the server calls it unchanged."""
    value = document.headers.get(header)
    return value if value and len(value) <= _MAX_VALIDATOR_CHARS and "broken_xml" not in parsed.notes else None
