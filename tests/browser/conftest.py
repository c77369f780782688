"""The board with articles in it, served in a thread, and Chromium to look at it.

Chromium: STILLHOUSE_TEST_CHROMIUM, else `chromium` on the PATH (Debian's package), else Playwright's own.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import shutil
import threading
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from consumers.board.app import serve
from consumers.embedded import embedded_broker
from consumers.kafka import KafkaPublisher
from consumers.records import Message, Record
from consumers.topics import admin_client, apply
from core.settings import Settings
from tests.conftest import ROOT
from tests.support.board_records import articles, dead, stream
from tests.support.kafka import free_port

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic",
]  # fmt: skip
PICTURES = Path(os.environ.get("STILLHOUSE_TEST_PICTURES", ROOT / "build" / "pictures"))


@dataclass
class Board:
    """A running board and the broker that it follows. Playwright has the test's event loop, so they have their own."""

    settings: Settings
    loop: asyncio.AbstractEventLoop
    address: str = ""

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def publish(self, records: Iterable[Record]) -> None:
        self.run(self._publish([Message(r.topic, r.key, r.value, r.headers) for r in records]))

    async def _publish(self, messages: list[Message]) -> None:
        publisher = KafkaPublisher(self.settings)
        assert not any(await publisher.publish(messages))
        await publisher.close()

    async def make_topics(self) -> None:
        async with admin_client(self.settings) as admin:
            await apply(admin, self.settings)


@contextlib.contextmanager
def running(home: Path, records: Iterable[Record]) -> Iterator[Board]:
    settings = Settings(home=home, port=free_port(), board_port=0)
    board, started = Board(settings, asyncio.new_event_loop()), threading.Event()

    def begin(address: str) -> None:
        board.address = address
        started.set()

    with embedded_broker(settings):
        thread = threading.Thread(target=board.loop.run_forever, daemon=True)
        thread.start()
        board.run(board.make_topics())
        serving = asyncio.run_coroutine_threadsafe(serve(settings, started=begin), board.loop)
        assert started.wait(60)
        board.publish(records)
        yield board
        serving.cancel()
        concurrent.futures.wait([serving], timeout=20)
        board.loop.call_soon_threadsafe(board.loop.stop)
        thread.join(20)


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    records = [*stream(articles(150), seed=1), *(dead("wrong_type", i, 1_760_000_000_000) for i in range(3))]
    with running(tmp_path_factory.mktemp("board"), records) as board:
        yield board


@pytest.fixture(scope="session")
def empty_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with running(tmp_path_factory.mktemp("empty"), []) as board:
        yield board


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("STILLHOUSE_TEST_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Window:
    """A page that remembers what went wrong in it."""

    page: Page
    board: Board
    faults: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(self.board.address.rstrip("/") + path)
        return self.page

    def failed(self, request: Request) -> None:
        """A page that is left drops what it still loads, and its live connection, which is no fault."""
        if request.failure != "net::ERR_ABORTED" and "/events" not in request.url:
            self.faults.append(f"{request.failure}: {request.url}")

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@pytest.fixture
def window(request: pytest.FixtureRequest, chromium: Browser, board: Board) -> Iterator[Window]:
    """Parametrise indirectly with options of a browser context; a console error fails the test."""
    options = {"viewport": {"width": 1280, "height": 900}} | getattr(request, "param", {})
    context = chromium.new_context(**options)
    context.set_default_timeout(60_000)
    found = Window(context.new_page(), board)
    found.page.on("console", lambda m: found.faults.append(m.text) if m.type in ("error", "warning") else None)
    found.page.on("pageerror", lambda error: found.faults.append(str(error)))
    found.page.on("requestfailed", found.failed)
    yield found
    context.close()
    assert found.faults == []
