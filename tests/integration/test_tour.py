"""README's five minutes, as a person has them: one command, a browser, Ctrl-C."""

import contextlib
import html
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from consumers.embedded import speaks_kafka
from core.article import Article
from core.jsonl import read_lines
from core.settings import load_settings
from producers.feeds.sample_server import sample_feeds
from tests.conftest import ROOT
from tests.docs.test_documented_snippets import link_entries
from tests.support.kafka import free_port

pytestmark = [pytest.mark.weights, pytest.mark.timeout(290)]

READY_SEC = 200
STOP_SEC = 30
STORIES = 14


@contextlib.contextmanager
def running(home: Path, command: list[str], **variables: str) -> Iterator[httpx.Client]:
    """The command in a folder and a process of its own, and a client of its board; it must end cleanly on SIGTERM."""
    link_entries(load_settings().home, home, without=("state", "labels"))
    port, board = free_port(), free_port()
    places = {"STILLHOUSE_HOME": str(home), "STILLHOUSE_PORT": str(port), "STILLHOUSE_BOARD_PORT": str(board)}
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    log = home / "command.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=home, env=os.environ | path | places | variables, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{board}", timeout=20) as client:
            _await_board(client, process, log)
            yield client
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SEC) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
    assert not speaks_kafka(port)


def _await_board(client: httpx.Client, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + READY_SEC
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        with contextlib.suppress(httpx.TransportError):
            client.get("/health")
            return
        time.sleep(0.1)
    pytest.fail(f"no board after {READY_SEC} s: {log.read_text()[-3000:]}")


def titles_in(page: str) -> list[str]:
    return [" ".join(html.unescape(title).split()) for title in re.findall(r'<a class="open"[^>]*>([^<]+)</a>', page)]


def live_titles(client: httpx.Client, wanted: int) -> list[str]:
    """Titles in the order in which an open page shows them, until there are `wanted`."""
    titles: list[str] = []
    deadline = time.monotonic() + READY_SEC
    with client.stream("GET", "/events?after=0", timeout=READY_SEC) as answer:
        for line in answer.iter_lines():
            assert time.monotonic() < deadline, f"only {titles}"
            titles += titles_in(line)
            if len(titles) >= wanted:
                return titles
    return titles


def written() -> list[Article]:
    with (ROOT / "producers" / "samples" / "demo.jsonl").open("rb") as stream:
        articles = [line.outcome for line in read_lines(stream) if isinstance(line.outcome, Article)]
    return [article for article in articles if len(article.text) > 400][:STORIES]


def test_the_demo_on_the_board_shows_articles_as_they_are_scored(tmp_path: Path):
    with running(tmp_path / "home", ["stillhouse", "demo", "--board", "--count", str(STORIES)]) as client:
        titles = live_titles(client, 5)
        assert len(set(titles)) == len(titles) >= 5
        page = client.get("/")
        assert page.status_code == 200
        assert set(titles) <= set(titles_in(page.text))
        why = client.get(re.search(r'href="(/article\?id=[^"]+)"', page.text)[1]).text
        assert "scored" in why
        assert "Release set" in why
        assert "articles.scored" in client.get("/flow").text
        feeds = re.findall(r"/feeds/[\w-]+\.(?:atom|json)[^\"<]*", client.get("/subscribe").text)
        assert feeds
        for feed in feeds[:4]:
            assert client.get(feed.replace("&amp;", "&")).status_code == 200


def documented(address: str) -> str:
    """README's block about feeds of one's own as a script, with a feed that exists."""
    (block,) = re.findall(
        r"^```console\n([^`]*my-feeds\.toml[^`]*)^```$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    script = re.sub(r"^\$ ", "", block, flags=re.MULTILINE)
    assert "https://example.org/feed.xml" in script
    return script.replace("https://example.org/feed.xml", address).replace("\nstillhouse run", "\nexec stillhouse run")


def test_a_list_of_feeds_is_read_scored_and_shown(tmp_path: Path):
    with sample_feeds(written()) as subscriptions:
        command = ["/bin/bash", "-ec", documented(subscriptions.feeds[0].url)]
        with running(tmp_path / "home", command, STILLHOUSE_FEEDS_ALLOW_PRIVATE="1") as client:
            titles = live_titles(client, 1)
            assert len(set(titles)) == len(titles)
            known = {" ".join(article.title.split()) for article in written()}
            assert set(titles) <= known
            feed = client.get("/feeds/uplifting.json?limit=100").json()
            assert {" ".join(item["title"].split()) for item in feed["items"]} <= known
