from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from consumers.board.app import create_app, create_board
from consumers.board.pages import Pages
from core.settings import Settings
from tests.support.board_records import articles, stream


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    """A board without Kafka: empty history, real filters."""
    return create_board(Settings(home=tmp_path))


@pytest.fixture
def filled(pages: Pages) -> Pages:
    """The same with 300 articles."""
    pages.follower.writer.apply(list(stream(articles(300), seed=5)))
    return pages


@pytest.fixture
async def client(filled: Pages) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(filled) as client:
        yield client


def client_of(pages: Pages) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=create_app(pages))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8600")
