"""The programs of docs/consume.md, run as a reader would run them, where their client is installed."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consumers.kafka import KafkaPublisher
from consumers.records import Message
from core import topics
from core.settings import Settings
from tests.integration.test_board import board, verdicts
from tests.support.board_records import articles, stream
from tests.support.kafka import Broker, read

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NODE = shutil.which("node")
HAS_KCAT = bool(shutil.which("kcat") and shutil.which("jq"))
LIBRDKAFKA = re.compile(r"librdkafka (\d+)\.(\d+)")


def has_kafkajs() -> bool:
    command = [NODE or "", "-e", "require('kafkajs'); require('fzstd')"]
    return bool(NODE) and subprocess.run(command, capture_output=True, cwd=EXAMPLES).returncode == 0


def kcat_speaks_to(broker: Broker) -> bool:
    """librdkafka 2.0 (Debian 12's kcat) misreads the embedded broker's first answer; 2.16 reads it."""
    version = LIBRDKAFKA.search(subprocess.run(["kcat", "-V"], capture_output=True, text=True).stdout)
    return broker.kind == "apache" or (version is not None and (int(version[1]), int(version[2])) > (2, 0))


READERS = [
    pytest.param([sys.executable, "read_aiokafka.py"], id="aiokafka"),
    pytest.param([sys.executable, "read_faststream.py"], id="faststream"),
    pytest.param([sys.executable, "read_confluent.py"], id="confluent"),
    pytest.param(
        ["bash", "read_kcat.sh"],
        id="kcat",
        marks=pytest.mark.skipif(not HAS_KCAT, reason="kcat and jq are missing: apt-get install kcat jq"),
    ),
    pytest.param(
        [NODE, "read_kafkajs.mjs"],
        id="kafkajs",
        marks=pytest.mark.skipif(
            not has_kafkajs(), reason="kafkajs is missing: npm install --no-save --no-package-lock kafkajs fzstd"
        ),
    ),
]


async def publish(settings: Settings, records) -> None:
    publisher = KafkaPublisher(settings)
    assert not any(await publisher.publish([Message(r.topic, r.key, r.value, r.headers) for r in records]))
    await publisher.close()


def expected(records) -> set[str]:
    """Titles that every program must print."""
    scored = [json.loads(record.body) for record in records if record.topic == topics.SCORED]
    return {article["title"] for article in scored if article["filters"]["uplifting"]["tier"] != "low"}


async def titles_printed(command: list[str], wanted: int, timeout_sec: float = 60) -> set[str]:
    """Titles that the program prints until there are `wanted`, or it ends."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=EXAMPLES, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    titles: set[str] = set()
    deadline = time.monotonic() + timeout_sec
    try:
        while len(titles) < wanted:
            line = await asyncio.wait_for(process.stdout.readline(), max(0.1, deadline - time.monotonic()))
            if not line:
                assert await process.wait() == 0, (await process.stderr.read()).decode()
                break
            titles.add(line.decode().strip().split("  ", 1)[1])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return titles


@pytest.mark.parametrize("command", READERS)
async def test_a_reader_prints_what_was_scored(stream_settings: Settings, broker: Broker, command: list[str]):
    if "read_kcat.sh" in command and not kcat_speaks_to(broker):
        pytest.skip("this kcat is too old for the embedded broker")
    made = list(stream(articles(60, seed=3), seed=3))
    await publish(stream_settings, made)
    wanted = expected(made)
    assert len(wanted) > 3
    assert await titles_printed([*command, stream_settings.bootstrap], len(wanted)) == wanted


@pytest.mark.skipif(not NODE, reason="node is not installed")
async def test_the_feed_reader_prints_the_same(embedded: Settings):
    made = list(stream(articles(60, seed=4), seed=4))
    await publish(embedded, made)
    async with board(embedded.model_copy(update={"board_port": 0})) as client:
        await verdicts(client, 60)
        address = f"{client.base_url}feeds/uplifting.json?tier=medium&limit=200"
        assert await titles_printed([str(NODE), "read_live.mjs", address, "1"], 10_000) == expected(made)


async def test_the_publisher_publishes_an_article(embedded: Settings):
    command = [sys.executable, "publish_aiokafka.py", embedded.bootstrap]
    done = await asyncio.to_thread(subprocess.run, command, cwd=EXAMPLES, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (record,) = await read(embedded, topics.RAW)
    assert record.key == b"bridge-2026-11"
    assert json.loads(record.body)["title"] == "Village reopens its footbridge"


def test_the_page_names_every_example():
    page = (EXAMPLES.parent / "consume.md").read_text()
    programs = {path.name for pattern in ("read_*", "publish_*") for path in EXAMPLES.glob(pattern)}
    assert len(programs) >= 7
    assert {name for name in programs if f"examples/{name}" not in page} == set()
