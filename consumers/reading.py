"""Reading along: records of a topic up to its present end, or as they come."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from consumers.kafka import browser, no_broker, to_record
from consumers.records import Record
from core.settings import Settings


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
    while any([await consumer.position(partition) < end for partition, end in ends.items()]):
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            for raw in batch:
                take(to_record(raw))
