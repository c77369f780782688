"""Polls feeds when they are due and publishes what is new. The order of steps that makes kills harmless is in state."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit

from producers.feeds.compose import Composed, Draft, bare, compose
from producers.feeds.entry import Feed
from producers.feeds.errors import FetchError, ParseError
from producers.feeds.fetch import Document, Fetcher
from producers.feeds.pages import PageReader
from producers.feeds.parse import Source, parse_feed
from producers.feeds.schedule import SLOW_AFTER_FAILURES, HostGate, next_poll
from producers.feeds.sink import Sink
from producers.feeds.state import FeedsState, FeedState, Waiting
from producers.feeds.subscriptions import Subscription, Subscriptions
from producers.feeds.workers import Workers

log = logging.getLogger("stillhouse.feeds")

ACCEPT = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"
_BATCH = 20
"""Entries from page to confirmation at a time: with a pause of 1 s per page the first are out after 20 s."""
_MAX_SLEEP_SEC = 30.0
_NEVER = 1e12


class FeedRecorder(Protocol):
    """What feeds report to metrics."""

    def feed_poll(self, feed: str, outcome: str, failures_in_a_row: int) -> None: ...

    def feed_entries(self, outcome: str, count: int = 1) -> None: ...


class SilentRecorder:
    """Metrics are off."""

    def feed_poll(self, feed: str, outcome: str, failures_in_a_row: int) -> None: ...

    def feed_entries(self, outcome: str, count: int = 1) -> None: ...


@dataclass
class RunReport:
    """What a run did: polls by outcome, entries by outcome, and the feeds that fail, with the reason."""

    polls: Counter[str] = field(default_factory=Counter)
    entries: Counter[str] = field(default_factory=Counter)
    failing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tools:
    """What the service works with."""

    state: FeedsState
    fetcher: Fetcher
    gate: HostGate
    pages: PageReader
    workers: Workers
    sink: Sink
    recorder: FeedRecorder = field(default_factory=SilentRecorder)


class FeedService:
    def __init__(self, subscriptions: Subscriptions, tools: Tools, rng: random.Random | None = None) -> None:
        self._feeds = {feed.url: feed for feed in subscriptions.feeds}
        self._concurrency = subscriptions.politeness.concurrency
        self._tools = tools
        self._rng = rng or random.Random()
        self.report = RunReport()

    async def run_once(self) -> RunReport:
        """Poll every feed now, but for those that asked to be left alone or wait out their failures."""
        now = time.time()
        turns = asyncio.Semaphore(self._concurrency)

        async def poll(feed: Subscription) -> None:
            async with turns:
                await self.poll(feed)

        async with asyncio.TaskGroup() as tasks:
            for orphan in self._orphans():
                tasks.create_task(self._publish_waiting(orphan))
            for feed in self._feeds.values():
                state = self._tools.state.feed(feed.url)
                if state.outcome == "gone" or (state.failures and state.next_poll > now):
                    self._count(feed.url, state.outcome if state.outcome == "gone" else "waiting", state.failures)
                    await self._publish_waiting(feed)
                    continue
                tasks.create_task(poll(feed))
        return self.report

    async def run(self) -> None:
        """Poll feeds as they become due, until cancelled."""
        for orphan in self._orphans():
            await self._publish_waiting(orphan)
        due = {feed.url: self._due(feed) for feed in self._feeds.values()}
        running: dict[asyncio.Task[None], Subscription] = {}
        try:
            while True:
                for url in sorted(due, key=due.__getitem__):
                    if due[url] > time.time() or len(running) >= self._concurrency:
                        break
                    del due[url]
                    running[asyncio.create_task(self.poll(self._feeds[url]))] = self._feeds[url]
                soonest_sec = max(0.05, min(due.values(), default=_NEVER) - time.time())
                timeout_sec = _MAX_SLEEP_SEC if len(running) >= self._concurrency else min(soonest_sec, _MAX_SLEEP_SEC)
                if not running:
                    await asyncio.sleep(timeout_sec)
                    continue
                done, _ = await asyncio.wait(running, timeout=timeout_sec, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                    feed = running.pop(task)
                    due[feed.url] = self._due(feed)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def poll(self, feed: Subscription) -> None:
        """One poll, whatever its end; what was admitted before is published even if the feed is away now."""
        before = self._tools.state.feed(feed.url)
        try:
            state = await self._read(feed, before)
        except (FetchError, ParseError) as error:
            state = self._failed(feed, before, error)
            self._tools.state.save_feed(state)
        self._count(feed.url, state.outcome, state.failures)
        await self._publish_waiting(feed)

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
        parsed = await self._tools.workers.run(_parse, (document.body, _source(feed, document)))
        state = replace(
            state,
            outcome="ok",
            detail=" ".join(parsed.notes),
            title=feed.name or parsed.title or host,
            read_at=now,
            **_validators(document, parsed),
        )
        new = self._tools.state.admit(state, parsed.entries)
        self._entries(new=new, known=len(parsed.entries) - new, empty=parsed.dropped)
        return state

    async def _publish_waiting(self, feed: Subscription) -> None:
        title = feed.name or self._tools.state.feed(feed.url).title or urlsplit(feed.url).hostname or feed.url
        while waiting := self._tools.state.waiting(feed.url, _BATCH):
            drafts = [await self._draft(item, feed, title) for item in waiting if item.entry is not None]
            composed = self._tools.state.freeze(await self._compose(drafts))
            frozen = [(item.id, item.payload) for item in waiting if item.payload is not None]
            articles = frozen + [(article.id, article.payload) for article in composed]
            await self._tools.sink.publish(articles)
            self._tools.state.confirm(feed.url, [identifier for identifier, _ in articles])
            self._entries(published=len(articles), same_story=len(waiting) - len(articles))

    async def _draft(self, item: Waiting, feed: Subscription, title: str) -> Draft:
        assert item.entry is not None
        answer = await self._tools.pages.read(item.entry, feed.fulltext)
        if answer.outcome != "not_wanted":
            self._entries(**{f"page_{answer.outcome.removeprefix('page')}".rstrip("_"): 1})
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
            due = _NEVER
        level = logging.WARNING if failures >= SLOW_AFTER_FAILURES or error.outcome == "gone" else logging.INFO
        log.log(level, "Feed %s: %s (failure %d in a row)", feed.url, error, failures)
        self.report.failing[feed.url] = f"{error}"
        return replace(
            before, outcome=error.outcome, detail=error.detail, failures=failures, polled_at=now, next_poll=due
        )

    def _due(self, feed: Subscription) -> float:
        state = self._tools.state.feed(feed.url)
        return _NEVER if state.outcome == "gone" else state.next_poll

    def _orphans(self) -> list[Subscription]:
        """Feeds that left the list while entries of theirs waited for Kafka."""
        urls = self._tools.state.feeds_with_waiting()
        return [Subscription(url=url, fulltext="never") for url in urls if url not in self._feeds]

    def _count(self, url: str, outcome: str, failures: int) -> None:
        self.report.polls[outcome] += 1
        self._tools.recorder.feed_poll(url, outcome, failures)

    def _entries(self, **outcomes: int) -> None:
        for outcome, count in outcomes.items():
            if count:
                self.report.entries[outcome] += count
                self._tools.recorder.feed_entries(outcome, count)


def _parse(arguments: tuple[bytes, Source]) -> Feed:
    return parse_feed(*arguments)


def _source(feed: Subscription, document: Document) -> Source:
    return Source(feed.url, document.url, document.headers.get("content-type", ""))


def _conditions(state: FeedState) -> dict[str, str]:
    headers = {"Accept": ACCEPT}
    if state.etag:
        headers["If-None-Match"] = state.etag
    if state.last_modified:
        headers["If-Modified-Since"] = state.last_modified
    return headers


def _validators(document: Document, parsed: Feed) -> dict[str, str | None]:
    """None for a document that arrived damaged: it must be read again even if the server calls it unchanged."""
    if "broken_xml" in parsed.notes:
        return {"etag": None, "last_modified": None}
    return {name.replace("-", "_"): document.headers.get(name) for name in ("etag", "last-modified")}
