import asyncio
import contextlib
from typing import Any

import pytest

from consumers.board import live
from consumers.board.live import EventStream, Hub, Subscriber
from consumers.board.views import View
from core.errors import TransientError


class News:
    """Articles 1 to `newest`, for every view; counts how often it was asked."""

    def __init__(self) -> None:
        self.newest = 0
        self.asked = 0
        self.broken: set[View] = set()

    async def __call__(self, view: View, after: int) -> list[tuple[int, str]]:
        self.asked += 1
        if view in self.broken:
            raise TransientError("the history is away")
        return [(seq, f"<li>{seq}</li>\n") for seq in range(after + 1, self.newest + 1)]


class Browser:
    """The other end of one stream; with `stalled` it reads nothing."""

    def __init__(self, hub: Hub, view: View | None = None, seq: int = 0) -> None:
        self.stream = EventStream(hub, Subscriber(view or View(), seq))
        self.received: list[str] = []
        self.gone = asyncio.Event()
        self.stalled = False
        self.task = asyncio.create_task(self.stream({"type": "http"}, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self.stalled:
            await asyncio.sleep(3600)
        if message["type"] == "http.response.body" and message["body"]:
            self.received.append(message["body"].decode())

    @property
    def articles(self) -> list[str]:
        return [line.removeprefix("data: ") for text in self.received for line in text.splitlines() if "<li>" in line]


@pytest.fixture
async def news():
    return News()


@pytest.fixture
async def hub(news: News):
    hub = Hub(news, lambda: True)
    task = asyncio.create_task(hub.run())
    yield hub
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TICK_SEC", 0.01)
    monkeypatch.setattr(live, "SEND_TIMEOUT_SEC", 0.3)


async def settle() -> None:
    await asyncio.sleep(0.12)


async def test_every_page_gets_each_article_once_and_in_order(hub: Hub, news: News):
    early = Browser(hub)
    await settle()
    for _ in range(5):
        news.newest += 3
        hub.notify()
        await asyncio.sleep(0.005)
    late = Browser(hub, seq=4)
    await settle()
    assert early.articles == [f"<li>{n}</li>" for n in range(1, 16)]
    assert late.articles == [f"<li>{n}</li>" for n in range(5, 16)]
    assert "id: 15\n" in early.received[-1]


async def test_one_question_serves_all_pages_of_a_view(hub: Hub, news: News):
    browsers = [Browser(hub) for _ in range(100)] + [Browser(hub, View(filter="uplifting"))]
    await settle()
    before = news.asked
    news.newest = 1
    hub.notify()
    await settle()
    assert news.asked - before == 2
    assert all(browser.articles == ["<li>1</li>"] for browser in browsers)


async def test_a_page_that_does_not_read_is_dropped_and_the_others_live(hub: Hub, news: News):
    stalled, good = Browser(hub), Browser(hub)
    await settle()
    stalled.stalled = True
    for _ in range(60):
        news.newest += 1
        hub.notify()
        await asyncio.sleep(0.015)
    assert stalled.task.done()
    assert hub.subscribers == {good.stream.subscriber}
    assert len(good.articles) == 60


async def test_a_page_that_leaves_is_forgotten(hub: Hub):
    browser = Browser(hub)
    await settle()
    browser.gone.set()
    await asyncio.wait_for(browser.task, 1)
    assert not hub.subscribers


async def test_a_broken_view_does_not_stop_the_others(hub: Hub, news: News):
    broken = View(query="slow")
    news.broken.add(broken)
    bad, good = Browser(hub, broken), Browser(hub)
    await settle()
    news.newest = 2
    hub.notify()
    await settle()
    assert good.articles == ["<li>1</li>", "<li>2</li>"]
    assert bad.articles == []
    assert not bad.task.done()


async def test_the_page_is_told_when_the_broker_goes_and_comes(news: News, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "STATE_SEC", 0.01)
    connected = True
    hub = Hub(news, lambda: connected)
    task = asyncio.create_task(hub.run())
    browser = Browser(hub)
    await settle()
    connected = False
    await settle()
    connected = True
    await settle()
    task.cancel()
    assert [text for text in browser.received if "event: state" in text] == [
        "event: state\ndata: away\n\n",
        "event: state\ndata: on\n\n",
    ]


def test_text_with_line_ends_stays_one_event():
    assert live.event("articles", "a\nb\r\nc", 7) == b"event: articles\ndata: a\ndata: b\ndata: c\nid: 7\n\n"
