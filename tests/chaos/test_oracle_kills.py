"""The oracle stage is killed twenty times while calls are under way: nothing is lost and nothing is paid twice."""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.records import Message
from core.article import Article
from core.messages import Labelled, OracleAsk, OracleRequest
from core.settings import Settings
from core.topics import DEAD, ORACLE_LABELS, ORACLE_REQUESTS
from tests.support import kafka
from tests.support.fake_gemini import FakeGemini, Rates, fake_gemini
from tests.support.fakes import write_filters

KILLS = 20
REQUESTS = 800
CALLS_PER_LIFE = 25
ROOT = Path(__file__).resolve().parents[2]


def request(number: int) -> Message:
    article = Article(f"id{number}", "", f"Article {number} tells of a river that was cleaned.")
    filters = {name: OracleAsk("v1", "audit", 0.5, 4.0, "scorer") for name in ("demo", "other")}
    return Message(ORACLE_REQUESTS, article.id.encode(), OracleRequest(article, filters, "set").to_bytes())


def start(settings: Settings, fake: FakeGemini) -> "subprocess.Popen[bytes]":
    variables = {
        "GEMINI_API_KEY": "key",
        "GOOGLE_GEMINI_BASE_URL": fake.url,
        "STILLHOUSE_PORT": str(settings.port),
        "STILLHOUSE_HOME": str(settings.home),
        "STILLHOUSE_FILTERS": str(settings.filters[0]),
        "STILLHOUSE_ORACLE_TIMEOUT_SEC": "5",
        "STILLHOUSE_ORACLE_DAILY_USD": "1000",  # nothing is declined
        "STILLHOUSE_ORACLE_DAILY_CALLS": "1000000",
    }
    command = [sys.executable, "-m", "stillhouse", "run", "--stage", "oracle"]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def killed_at_the_end(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def await_calls(fake: FakeGemini, count: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while fake.calls.total() < count:
        assert process.poll() is None, "the stage ended by itself"
        assert time.monotonic() < deadline, "the stage makes no calls"
        time.sleep(0.01)


async def await_ends(settings: Settings, timeout_sec: float) -> tuple[Counter[str], Counter[str]]:
    """Requests by id with a label, and with a dead letter, once all have an end; equal redeliveries count once."""
    deadline = time.monotonic() + timeout_sec
    while True:
        records = await kafka.read(settings, ORACLE_LABELS, DEAD)
        ends = {(record.topic, record.key, record.value) for record in records}
        if len({key for _, key, _ in ends}) == REQUESTS or time.monotonic() > deadline:
            break
        await asyncio.sleep(1)
    labels = Counter(Labelled.from_bytes(body).article.id for topic, _, body in ends if topic == ORACLE_LABELS)
    return labels, Counter(key.decode() for topic, key, _ in ends if topic == DEAD)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_twenty_kills_lose_nothing_and_pay_nothing_twice(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    home = tmp_path / "home"
    home.mkdir()
    with kafka.embedded(tmp_path / "broker") as broker, fake_gemini(rates=Rates(), speed=20.0, seed=seed) as fake:
        settings = broker.settings(home, filters=(write_filters(home),))
        await kafka.fresh_topics(settings)
        await kafka.publish(settings, [request(number) for number in range(REQUESTS)])
        for _ in range(KILLS):
            with killed_at_the_end(start(settings, fake)) as process:
                await asyncio.to_thread(await_calls, fake, fake.calls.total() + rng.randint(1, CALLS_PER_LIFE), process)
                await asyncio.sleep(rng.random() * 0.2)
        with killed_at_the_end(start(settings, fake)) as process:
            labels, dead = await await_ends(settings, timeout_sec=300)
            process.terminate()
            assert process.wait(timeout=120) == 0
        reasons = Counter(dict(record.headers)["dead-reason"].decode() for record in await kafka.read(settings, DEAD))
    print(f"{labels.total()} labels, {dead.total()} dead letters: {dict(reasons)}; {fake.calls.total()} calls")
    assert set(labels) | set(dead) == {f"id{number}" for number in range(REQUESTS)}
    assert not set(labels) & set(dead)
    assert max(labels.values()) == max(dead.values()) == 1
    assert max(fake.good.values()) == 1
    assert set(reasons) <= {"interrupted", "connection_lost", "not_json", "timeout"}
