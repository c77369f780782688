"""`stillhouse status`: who works, how far each stage is behind, and when it will have caught up."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from consumers.kafka import no_broker
from consumers.reading import committed_offsets, end_offsets, group_members, reader
from consumers.topics import admin_client
from core.settings import Settings
from core.topics import DEAD, GATED, ORACLE_LABELS, ORACLE_REQUESTS, RAW, REJECTED, SCORED, TOPICS

SOURCES = {"screen": RAW, "score": GATED, "oracle": ORACLE_REQUESTS, "labels": ORACLE_LABELS}
OUTCOMES = (SCORED, REJECTED, DEAD)


@dataclass(frozen=True, slots=True)
class StageStatus:
    """`drain_sec` is the time to catch up at the present rates: 0 without lag, None where lag does not shrink.

    `consumers` counts the members of the stage's group: two per worker, unless it says otherwise.
    """

    stage: str
    topic: str
    consumers: int
    lag: int
    handled_per_sec: float
    arriving_per_sec: float
    drain_sec: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """All stages whose topics exist, how many records each outcome topic holds, and what topics are missing."""

    stages: tuple[StageStatus, ...]
    records: Mapping[str, int]
    missing_topics: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sample:
    """Sums over the partitions of a stage's topic at one moment."""

    at: float
    end: int
    done: int


def stage_status(stage: str, before: Sample, after: Sample, consumers: int) -> StageStatus:
    """Rates from two samples of one stage."""
    elapsed = max(after.at - before.at, 1e-9)
    handled = (after.done - before.done) / elapsed
    arriving = (after.end - before.end) / elapsed
    lag = max(0, after.end - after.done)
    net = handled - arriving
    drain = 0.0 if lag == 0 else lag / net if net > 0 else None
    rates = round(handled, 1), round(arriving, 1), drain and round(drain, 1)
    return StageStatus(stage, SOURCES[stage], consumers, lag, *rates)


async def read_status(settings: Settings, interval_sec: float = 2.0) -> Status:
    """Two looks at the offsets, `interval_sec` apart. Raises TransientError where no broker answers."""
    try:
        return await _read_status(settings, interval_sec)
    except (KafkaError, OSError) as error:
        raise no_broker(settings, error) from error


async def _read_status(settings: Settings, interval_sec: float) -> Status:
    async with admin_client(settings) as admin, reader(settings) as consumer:
        known = set(await admin.list_topics())
        stages = [stage for stage, topic in SOURCES.items() if topic in known]
        before = {stage: await _sample(settings, admin, consumer, stage) for stage in stages}
        await asyncio.sleep(interval_sec)
        after = {stage: await _sample(settings, admin, consumer, stage) for stage in stages}
        members = {stage: await group_members(admin, f"{settings.group_prefix}.{stage}") for stage in stages}
        records = {topic: await _count(settings, admin, consumer, topic) for topic in OUTCOMES if topic in known}
    found = tuple(stage_status(stage, before[stage], after[stage], members[stage]) for stage in stages)
    return Status(found, records, tuple(topic.name for topic in TOPICS if topic.name not in known))


async def read_lag(settings: Settings, stage: str) -> int:
    """Records that wait for one stage. Raises TransientError where no broker answers."""
    async with admin_client(settings) as admin, reader(settings) as consumer:
        sample = await _sample(settings, admin, consumer, stage)
    return max(0, sample.end - sample.done)


async def _sample(settings: Settings, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, stage: str) -> Sample:
    partitions = await _partitions(admin, SOURCES[stage])
    begins = await consumer.beginning_offsets(partitions)
    ends = await end_offsets(settings, consumer, partitions)
    committed = await committed_offsets(admin, f"{settings.group_prefix}.{stage}", partitions)
    # A partition without a commit is read from its beginning.
    done = sum(max(begins[p], committed.get(p, 0)) for p in partitions)
    return Sample(time.monotonic(), sum(ends.values()), done)


async def _count(settings: Settings, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, topic: str) -> int:
    partitions = await _partitions(admin, topic)
    begins, ends = await consumer.beginning_offsets(partitions), await end_offsets(settings, consumer, partitions)
    return sum(ends[p] - begins[p] for p in partitions)


async def _partitions(admin: AIOKafkaAdminClient, topic: str) -> Sequence[TopicPartition]:
    (described,) = await admin.describe_topics([topic])
    return [TopicPartition(topic, entry["partition"]) for entry in described["partitions"]]
