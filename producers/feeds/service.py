"""The loop over all feeds: which is due, how many at a time, once or for ever."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from core.errors import TransientError
from core.settings import Settings
from producers.feeds.fetch import Fetcher
from producers.feeds.pages import PageReader
from producers.feeds.poll import NEVER, Poller, Tools
from producers.feeds.report import FeedRecorder, RunReport, SilentRecorder
from producers.feeds.robots import Robots
from producers.feeds.schedule import HostGate
from producers.feeds.sink import KafkaSink, Sink
from producers.feeds.state import FeedsState
from producers.feeds.subscriptions import Politeness, Subscription, Subscriptions
from producers.feeds.workers import Workers

log = logging.getLogger("stillhouse.feeds")

ONCE_GIVE_UP_SEC = 60.0
_MAX_SLEEP_SEC = 30.0
_RETRY_SEC = 60.0


class FeedService:
    def __init__(self, subscriptions: Subscriptions, tools: Tools, poller: Poller) -> None:
        self._feeds = {feed.url: feed for feed in subscriptions.feeds}
        self._concurrency = subscriptions.politeness.concurrency
        self._poller = poller
        self._state = tools.state
        self._report = tools.report

    async def run_once(self) -> None:
        """Poll every feed now, but for those that are gone or wait out their failures."""
        turns = asyncio.Semaphore(self._concurrency)

        async def visit(feed: Subscription) -> None:
            async with turns:
                await self._visit(feed)

        try:
            async with asyncio.TaskGroup() as tasks:
                for feed in (*self._orphans(), *self._feeds.values()):
                    tasks.create_task(visit(feed))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def run(self) -> None:
        """Poll feeds as they become due, until cancelled."""
        for orphan in self._orphans():
            await self._poller.publish_waiting(orphan)
        due = {url: self._due(url) for url in self._feeds}
        log.info("Reading %d feeds.", len(due))
        running: dict[asyncio.Task[None], str] = {}
        try:
            while True:
                for url in self._startable(due, len(running)):
                    del due[url]
                    running[asyncio.create_task(self._poller.poll(self._feeds[url]))] = url
                await self._pause(due, running)
                for task in [task for task in running if task.done()]:
                    url = running.pop(task)
                    due[url] = self._next_turn(url, task)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _visit(self, feed: Subscription) -> None:
        state = self._state.feed(feed.url)
        listed, gone = feed.url in self._feeds, state.outcome == "gone"
        if listed and not gone and not (state.failures and state.next_poll > time.time()):
            return await self._poller.poll(feed)
        if listed:
            self._report.poll(feed.url, "gone" if gone else "backing_off", state.failures)
        await self._poller.publish_waiting(feed)

    def _startable(self, due: dict[str, float], running: int) -> list[str]:
        now = time.time()
        ready = sorted((url for url in due if due[url] <= now), key=due.__getitem__)
        return ready[: self._concurrency - running]

    async def _pause(self, due: dict[str, float], running: dict[asyncio.Task[None], str]) -> None:
        """Until a poll ends or, where another may run beside it, the next feed is due."""
        until_due_sec = max(0.05, min(due.values(), default=NEVER) - time.time())
        timeout_sec = min(until_due_sec, _MAX_SLEEP_SEC)
        if len(running) >= self._concurrency:
            timeout_sec = _MAX_SLEEP_SEC
        if running:
            await asyncio.wait(running, timeout=timeout_sec, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(timeout_sec)

    def _next_turn(self, url: str, ended: asyncio.Task[None]) -> float:
        try:
            ended.result()
        except TransientError as error:
            log.warning("%s Trying again in %.0f s.", error, _RETRY_SEC)
            return time.time() + _RETRY_SEC
        return self._due(url)

    def _due(self, url: str) -> float:
        return self._state.feed(url).next_poll

    def _orphans(self) -> list[Subscription]:
        """Feeds that left the list while entries of theirs waited for Kafka."""
        urls = self._state.feeds_with_waiting()
        return [Subscription(url=url, fulltext="never") for url in urls if url not in self._feeds]


async def run_feeds(
    settings: Settings, subscriptions: Subscriptions, *, once: bool = False, recorder: FeedRecorder | None = None
) -> RunReport:
    """`stillhouse feeds run`: everything from the list to articles.raw. Without `once` it ends by cancellation.

    Raises:
        TransientError: with `once`, where Kafka stays away. Nothing is lost; the next run goes on.
        StillhouseError: another process holds the state.
    """
    sink = KafkaSink(settings, give_up_sec=ONCE_GIVE_UP_SEC if once else None)
    with FeedsState(settings.state) as state:
        state.forget_old()
        report = RunReport(recorder or SilentRecorder())
        async with open_tools(settings, subscriptions.politeness, state, sink, report) as tools:
            service = FeedService(subscriptions, tools, Poller(tools, random.Random()))
            await (service.run_once() if once else service.run())
    return report


@asynccontextmanager
async def open_tools(
    settings: Settings, politeness: Politeness, state: FeedsState, sink: Sink, report: RunReport
) -> AsyncIterator[Tools]:
    """Everything that a poller needs, closed in the right order."""
    # The pause of a host also holds across a restart: the process before may have asked a moment ago.
    quiet_until = time.monotonic() + politeness.host_delay_sec
    gate = HostGate(politeness.host_delay_sec, politeness.host_concurrency, quiet_until)
    async with AsyncExitStack() as open_things:
        fetcher = await open_things.enter_async_context(Fetcher(gate, allow_private=settings.feeds_allow_private))
        open_things.push_async_callback(sink.close)
        robots = Robots(fetcher, gate) if politeness.robots else None
        pages = PageReader(fetcher, robots, gate)
        yield Tools(state, fetcher, gate, pages, Workers(), sink, report)
