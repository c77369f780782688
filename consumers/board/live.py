"""Server-sent events: every open page gets the articles of its own view as they are scored.

One task looks for news, once for each distinct view however many pages show it. A page that does not read is
dropped; it comes back by itself with `Last-Event-ID`, and misses nothing.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from consumers.board.views import View
from core.errors import StillhouseError

log = logging.getLogger(__name__)

MAX_STREAMS = 256
TICK_SEC = 0.4
"""News of this long are sent together."""

NEWS_PER_TICK = 40
"""A page that was away longer gets the rest in the ticks that follow."""

STATE_SEC = 1.0
HEARTBEAT_SEC = 15.0
SEND_TIMEOUT_SEC = 10.0
QUEUE_EVENTS = 8

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)

News = Callable[[View, int], Awaitable[list[tuple[int, str]]]]
"""Rendered articles of a view that came after a sequence number: (sequence number, HTML), oldest first."""


@dataclass(eq=False, slots=True)
class Subscriber:
    """One open page. `seq` is the last article that it has."""

    view: View
    seq: int
    events: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_EVENTS))

    def offer(self, news: list[tuple[int, str]]) -> None:
        """Queue the news that this page lacks."""
        fresh = [(seq, html) for seq, html in news if seq > self.seq]
        if not fresh:
            return
        self.put(event("articles", "".join(html for _, html in fresh), fresh[-1][0]))
        self.seq = fresh[-1][0]

    def put(self, message: bytes) -> None:
        """Queue one event; a full queue ends the stream, for its page does not read."""
        try:
            self.events.put_nowait(message)
        except asyncio.QueueFull:
            self.close()

    def close(self) -> None:
        while not self.events.empty():
            self.events.get_nowait()
        self.events.put_nowait(None)


def event(name: str, data: str, event_id: int | None = None) -> bytes:
    """One event in the wire form of the HTML standard, section 9.2."""
    lines = [f"event: {name}", *(f"data: {line}" for line in data.splitlines())]
    if event_id is not None:
        lines.append(f"id: {event_id}")
    return ("\n".join(lines) + "\n\n").encode()


@dataclass
class Hub:
    """All open pages."""

    news: News
    connected: Callable[[], bool]
    subscribers: set[Subscriber] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self) -> None:
        """The history has new rows."""
        self._changed.set()

    async def run(self) -> None:
        was_connected = self.connected()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATE_SEC):
                    await self._changed.wait()
            if self._changed.is_set():
                self._changed.clear()
                await self.tick()
            if self.connected() != was_connected:
                was_connected = not was_connected
                self._announce(was_connected)
            await asyncio.sleep(TICK_SEC)

    async def tick(self) -> None:
        by_view: defaultdict[View, list[Subscriber]] = defaultdict(list)
        for subscriber in self.subscribers:
            by_view[subscriber.view].append(subscriber)
        for view, readers in by_view.items():
            try:
                news = await self.news(view, min(reader.seq for reader in readers))
            except StillhouseError as error:
                log.warning("A live page gets no news this time: %s", error)
                continue
            except Exception:
                # One view that cannot be shown must not end the board, nor the stages that share its process.
                log.exception("A live page gets no news: %s", view)
                continue
            for reader in readers:
                reader.offer(news)
            if len(news) >= NEWS_PER_TICK:
                self._changed.set()

    def close(self) -> None:
        for subscriber in self.subscribers:
            subscriber.close()

    def _announce(self, connected: bool) -> None:
        for subscriber in self.subscribers:
            subscriber.put(event("state", "on" if connected else "away"))


@dataclass
class EventStream:
    """The response of one open page."""

    hub: Hub
    subscriber: Subscriber

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patiently(body: bytes, *, more: bool = True) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_SEC):
                await send({"type": "http.response.body", "body": body, "more_body": more})

        async def until_disconnect() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.subscriber.close()

        self.hub.subscribers.add(self.subscriber)
        disconnect = asyncio.create_task(until_disconnect())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            await patiently(b"retry: 2000\n: connected\n\n")
            # What came between the page and its stream.
            self.hub.notify()
            while (message := await self._next()) is not None:
                await patiently(message)
            await patiently(b"", more=False)
        except (TimeoutError, OSError):
            log.info("A live page that did not read was dropped")
        finally:
            disconnect.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await disconnect
            self.hub.subscribers.discard(self.subscriber)

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout(HEARTBEAT_SEC):
                return await self.subscriber.events.get()
        except TimeoutError:
            return b": alive\n\n"


def last_seen(request: Request, default: int) -> int:
    """Where a page that reconnects left off."""
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else default
