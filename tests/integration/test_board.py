"""The board against a broker: live within two seconds, rebuilt from the topics, and patient with absent brokers."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from consumers.board.app import HISTORY_FILE, serve
from consumers.embedded import embedded_broker
from consumers.kafka import KafkaPublisher
from consumers.records import Message
from consumers.topics import admin_client, apply
from core import topics
from core.settings import Settings
from tests.support.board_records import articles, stream

LIVE_SEC = 2.0


async def publish(settings: Settings, records) -> None:
    publisher = KafkaPublisher(settings)
    answers = await publisher.publish([Message(r.topic, r.key, r.value, r.headers) for r in records])
    assert not any(answers)
    await publisher.close()


@contextlib.asynccontextmanager
async def board(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, started=address.set_result))
    await asyncio.wait({address, task}, return_when=asyncio.FIRST_COMPLETED)
    try:
        async with httpx.AsyncClient(base_url=address.result(), timeout=10) as client:
            yield client
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def board_settings(embedded: Settings) -> Settings:
    return embedded.model_copy(update={"board_port": 0})


async def verdicts(client: httpx.AsyncClient, at_least: int, within_sec: float = 20.0) -> int:
    """Waits until the board knows so many verdicts."""
    deadline = time.monotonic() + within_sec
    while (known := (await client.get("/health")).json()["verdicts"]) < at_least and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return int(known)


def entries(items: list[dict]) -> list[tuple]:
    """What must not change, in order; the address of the board does."""
    return [(item["id"], item["title"], item["summary"], item["date_modified"]) for item in items]


async def first_articles(client: httpx.AsyncClient, path: str) -> str:
    """HTML of the first live articles of a page."""
    async with client.stream("GET", path) as answer:
        lines = answer.aiter_lines()
        async for line in lines:
            if line == "event: articles":
                return "".join([text async for text in _until_blank(lines)])
    return ""


async def _until_blank(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        if not line:
            return
        yield line


async def test_an_article_is_on_the_page_within_two_seconds(board_settings: Settings):
    async with board(board_settings) as client:
        await verdicts(client, 0)
        while not (await client.get("/health")).json()["kafka"]:
            await asyncio.sleep(0.1)
        watching = asyncio.create_task(first_articles(client, "/events?after=0"))
        await asyncio.sleep(0.5)
        await publish(board_settings, stream(articles(1, seed=42), seed=1))
        started = time.monotonic()
        html = await asyncio.wait_for(watching, 10)
        assert time.monotonic() - started < LIVE_SEC
        assert "article-42-0" in html


async def test_a_deleted_history_is_rebuilt_and_a_kept_one_continued(board_settings: Settings):
    first, second = list(stream(articles(60, seed=1), seed=1)), list(stream(articles(20, seed=2), seed=2))
    await publish(board_settings, first)
    async with board(board_settings) as client:
        assert await verdicts(client, 60) == 60
        before = (await client.get("/feeds/uplifting.json?limit=200")).json()["items"]
    await publish(board_settings, second)
    async with board(board_settings) as client:
        assert await verdicts(client, 80) == 80
        await asyncio.sleep(0.5)
        assert await verdicts(client, 80) == 80, "nothing is applied twice"
    for file in board_settings.state.glob(f"{HISTORY_FILE}*"):
        file.unlink()
    async with board(board_settings) as client:
        assert await verdicts(client, 80) == 80
        rebuilt = (await client.get("/feeds/uplifting.json?limit=200")).json()["items"]
    known = {item["id"] for item in before}
    assert entries([item for item in rebuilt if item["id"] in known]) == entries(before)


async def test_topics_made_anew_are_read_from_their_beginning(tmp_path: Path, free_port: int):
    """The embedded broker forgets everything at its end; the history does not, and must not skip what comes then."""
    settings = Settings(home=tmp_path, port=free_port, board_port=0)

    async def fresh(seed: int, count: int) -> None:
        async with admin_client(settings) as admin:
            await apply(admin, settings)
        await publish(settings, stream(articles(count, seed=seed), seed=seed))

    with embedded_broker(settings):
        await fresh(1, 30)
        async with board(settings) as client:
            assert await verdicts(client, 30) == 30
    with embedded_broker(settings):
        await fresh(2, 50)
        async with board(settings) as client:
            assert await verdicts(client, 80) == 80


async def test_without_a_broker_the_history_stays_readable(board_settings: Settings, tmp_path: Path):
    await publish(board_settings, stream(articles(30, seed=1), seed=1))
    async with board(board_settings) as client:
        await verdicts(client, 30)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = board_settings.model_copy(update={"port": unused.getsockname()[1]})
    async with board(away) as client:
        page = (await client.get("/")).text
        assert "Kafka is away" in page
        assert "article-1-" in page
        assert (await client.get("/flow")).status_code == 200


async def test_flow_figures_come_from_the_broker(board_settings: Settings):
    await publish(board_settings, stream(articles(40, seed=1), seed=1))
    async with board(board_settings) as client:
        await verdicts(client, 40)
        for _ in range(100):
            page = (await client.get("/flow")).text
            if "Kafka is away" not in page:
                break
            await asyncio.sleep(0.2)
        scored = (await client.get("/?show=rejected")).text.count("data-id=")
        assert f"articles.rejected {scored} " in page or f"articles.rejected {scored}," in page


async def test_two_hundred_streams_and_clients_that_never_read(board_settings: Settings):
    """Streams beyond the limit are refused with a time to come back; the pages stay quick meanwhile."""
    await publish(board_settings, stream(articles(50, seed=1), seed=1))
    async with board(board_settings) as client:
        await verdicts(client, 50)
        host, port = client.base_url.host, client.base_url.port
        request = f"GET /events?after=0 HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        sockets = []
        for _ in range(300):
            connection = socket.create_connection((host, port))
            connection.sendall(request)
            sockets.append(connection)
        await asyncio.sleep(2)
        streams = (await client.get("/health")).json()["streams"]
        assert 200 <= streams <= 256
        refused = await client.get("/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        answers = [await client.get("/") for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
        assert min(answer.elapsed.total_seconds() for answer in answers) < 2
        for connection in sockets:
            connection.close()
        for _ in range(50):
            if not (await client.get("/health")).json()["streams"]:
                break
            await asyncio.sleep(0.2)
        assert (await client.get("/health")).json()["streams"] == 0


async def test_a_client_that_never_reads_is_dropped_and_one_that_was_long_away_gets_everything(
    board_settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("consumers.board.live.SEND_TIMEOUT_SEC", 1.0)
    monkeypatch.setattr("consumers.board.app.STALLED_MS", 2_000)
    made = list(stream(articles(1_200, seed=9), seed=9))
    scored = sum(record.topic == topics.SCORED for record in made)
    await publish(board_settings, made)
    async with board(board_settings) as client:
        await verdicts(client, 1_200, within_sec=60)
        host, port = client.base_url.host, client.base_url.port
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        deaf.connect((host, port))
        deaf.sendall(f"GET /events?after=0 HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        seen: list[str] = []
        async with client.stream("GET", "/events?after=0", timeout=60) as answer:
            async for line in answer.aiter_lines():
                seen += re.findall(r'data-id="([^"]+)"', line)
                if len(seen) >= scored:
                    break
        assert len(set(seen)) == len(seen) == scored
        await _until(lambda: client.get("/health"), lambda answer: answer.json()["streams"] == 0)
        server = psutil.Process()
        mine = deaf.getsockname()[1]
        await _until(
            lambda: asyncio.to_thread(server.net_connections, "tcp"),
            lambda found: not any(c.laddr.port == port and c.raddr and c.raddr.port == mine for c in found),
        )
        deaf.close()


async def _until(ask, holds, within_sec: float = 60) -> None:
    async with asyncio.timeout(within_sec):
        while not holds(await ask()):
            await asyncio.sleep(0.2)
