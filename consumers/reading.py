"""Reading along: records of a topic up to its present end, or as they come; and how far others have read."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from consumers.kafka import browser, no_broker, to_record
from consumers.records import Record
from core.settings import Settings

_NO_COORDINATOR = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
_COORDINATOR_SEC = 15.0
_COORDINATOR_PAUSE_SEC = 0.2


@asynccontextmanager
async def reader(settings: Settings, *topics: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer without a group. Raises TransientError where no broker answers."""
    consumer = browser(settings, *topics, **options)
    try:
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            raise no_broker(settings, error) from error
        yield consumer
    finally:
        await consumer.stop()


async def read_to_end(consumer: AIOKafkaConsumer, take: Callable[[Record], None]) -> None:
    """Hand every record to `take`, up to what was the end when this began."""
    ends = await consumer.end_offsets(consumer.assignment())
    settled: set[TopicPartition] = set()
    while behind := [partition for partition, end in ends.items() if await consumer.position(partition) < end]:
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            for raw in batch:
                take(to_record(raw))
        for partition in set(behind) - settled:
            if high := consumer.highwater(partition):
                settled.add(partition)
                ends[partition] = max(ends[partition], high)  # see end_offsets


async def end_offsets(
    settings: Settings, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """End of each partition; takes over the consumer's assignment.

    The embedded broker's own answer (ListOffsets) is the first offset of the last batch, plus one. Its fetch
    responses are right, so there one fetch per partition asks for the high water mark.
    """
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    filled = [partition for partition, end in ends.items() if end]
    if not settings.embedded or not filled:
        return ends
    consumer.assign(filled)
    for partition in filled:
        consumer.seek(partition, ends[partition] - 1)
    while unknown := [partition for partition in filled if consumer.highwater(partition) is None]:
        await consumer.getmany(*unknown, timeout_ms=200, max_records=1)
    return ends | {partition: consumer.highwater(partition) for partition in filled}


async def committed_offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """The group's offset on each partition where it has committed one.

    On a new cluster, the first question about any group makes Kafka create the topic of all offsets; until that has a
    leader, as after a broker's restart, there is no coordinator to answer.
    """
    deadline = time.monotonic() + _COORDINATOR_SEC
    while True:
        try:
            # Naming the partitions matters: the embedded broker cannot answer for all of a group at once.
            known = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
        except _NO_COORDINATOR:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_COORDINATOR_PAUSE_SEC)
        else:
            return {partition: committed.offset for partition, committed in known.items() if committed.offset >= 0}


async def group_members(admin: AIOKafkaAdminClient, group: str) -> int:
    """Consumers that are in the group now; one that was killed counts until its session ends."""
    responses = await admin.describe_consumer_groups([group])
    return sum(len(members) for response in responses for *_, members in (found[:6] for found in response.groups))
