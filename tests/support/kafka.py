"""Kafka for tests: the embedded broker, and a real Apache Kafka where one can be had."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError

from consumers import topics
from consumers.embedded import embedded_broker, speaks_kafka
from consumers.kafka import KafkaPublisher, browser, to_record
from consumers.reading import read_to_end
from consumers.records import Message, Record
from core.settings import Settings, load_settings
from core.topics import DEAD, RAW, REJECTED, SCORED, TOPICS
from tests.support.ports import free_port

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT.parent / "shared" / "kafka" / "kafka.sh"


@dataclass(frozen=True)
class Broker:
    """Where a broker of a kind answers: settings that reach it. `folder` is set where we may kill and start it."""

    kind: str
    values: dict
    folder: Path | None = None

    def settings(self, home: Path, **values) -> Settings:
        return load_settings(home=home, session_timeout_sec=2, **(self.values | values))

    def kill(self) -> None:
        subprocess.run([SCRIPT, "kill", self.folder], check=True, capture_output=True)

    def start(self) -> None:
        port = self.values["kafka"].rsplit(":", 1)[1]
        done = subprocess.run([SCRIPT, "start", self.folder, port], capture_output=True, text=True, timeout=240)
        assert "ended while starting" not in done.stderr, done.stderr
        deadline = time.monotonic() + 240  # the script gives up after 60 s, which a busy machine may need
        while not speaks_kafka(int(port)):
            assert time.monotonic() < deadline, f"Kafka does not answer; see {self.folder}/kafka.log"
            time.sleep(0.5)


@contextlib.contextmanager
def embedded(home: Path) -> Iterator[Broker]:
    port = free_port()
    with embedded_broker(load_settings(home=home, port=port)):
        yield Broker("embedded", {"port": port})


@contextlib.contextmanager
def apache(folder: Path) -> Iterator[Broker | None]:
    """STILLHOUSE_TEST_KAFKA, else Docker, else ../shared/kafka with Java; None where there is none of them."""
    if address := os.environ.get("STILLHOUSE_TEST_KAFKA"):
        yield Broker("apache", {"kafka": address})
    elif docker_answers():
        from testcontainers.kafka import KafkaContainer

        with KafkaContainer("apache/kafka:4.1.1") as container:
            yield Broker("apache", {"kafka": container.get_bootstrap_server()})
    elif SCRIPT.is_file() and shutil.which("java"):
        broker = Broker("apache", {"kafka": f"127.0.0.1:{free_port(2)}"}, folder)
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()
    else:
        yield None


def docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    with contextlib.suppress(subprocess.SubprocessError, OSError):
        return subprocess.run(["docker", "info"], capture_output=True, timeout=5).returncode == 0
    return False


async def fresh_topics(settings: Settings) -> None:
    """Our topics, empty and as the table says. Brokers delete and create in the background: both are awaited."""
    names = {topic.name for topic in TOPICS}
    async with asyncio.timeout(60), topics.admin_client(settings) as admin:
        if ours := names & set(await admin.list_topics()):
            await admin.delete_topics(list(ours))
        while names & set(await admin.list_topics()):
            await asyncio.sleep(0.05)
        await topics.apply(admin, settings)
        while not _all_lead(await admin.describe_topics(list(names))):
            await asyncio.sleep(0.05)


def _all_lead(described: list[dict]) -> bool:
    """True once each partition has a leader that takes records."""
    partitions = [partition for topic in described for partition in topic["partitions"]]
    led = all(partition["leader"] >= 0 and not partition["error_code"] for partition in partitions)
    return led and len(partitions) == sum(topic.partitions for topic in TOPICS)


async def publish(settings: Settings, messages: Sequence[Message]) -> None:
    publisher = KafkaPublisher(settings)
    try:
        for start in range(0, len(messages), 500):
            assert not any(await publisher.publish(messages[start : start + 500]))
    finally:
        await publisher.close()


async def read(settings: Settings, *names: str) -> list[Record]:
    """All records of the topics, as of now."""
    records: list[Record] = []
    await read_each(settings, records.append, *names)
    return records


async def read_each(settings: Settings, take: Callable[[Record], None], *names: str) -> None:
    """The same, one by one: for topics that are too large for memory."""
    consumer = browser(settings, *names)
    await consumer.start()
    try:
        await read_to_end(consumer, take)
    finally:
        await consumer.stop()


async def await_outcomes(settings: Settings, keys: set[bytes | None], timeout_sec: float = 60) -> list[Record]:
    """Records of the outcome topics once every key has one; fails with the keys that have none."""
    records: list[Record] = []
    missing = set(keys)
    consumer = browser(settings, SCORED, REJECTED, DEAD)
    await consumer.start()
    deadline = time.monotonic() + timeout_sec
    try:
        while missing and time.monotonic() < deadline:
            with contextlib.suppress(KafkaError):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records += map(to_record, batch)
                    missing -= {raw.key for raw in batch}
    finally:
        await consumer.stop()
    assert not missing, f"{len(missing)} of {len(keys)} without outcome, for example {sorted(map(str, missing))[:5]}"
    return records


async def lag(settings: Settings, stages: Sequence[str] = ("screen", "score")) -> dict[str, int]:
    from consumers.status import read_status

    status = await read_status(settings, interval_sec=0)
    return {stage.stage: stage.lag for stage in status.stages if stage.stage in stages}


def article(identifier: str, text: str | None = None, **fields) -> Message:
    """A raw record whose text is its own."""
    import orjson

    body = {"id": identifier, "title": f"Title of {identifier}", "text": text or f"Some words about {identifier}. " * 8}
    return Message(RAW, identifier.encode(), orjson.dumps(body | fields))
