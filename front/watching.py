"""Reads what leaves the stream while something else runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from consumers.kafka import browser
from core.settings import Settings


@contextlib.asynccontextmanager
async def watching(settings: Settings, *topics: str, each: Callable[[Any], None]) -> AsyncIterator[None]:
    """While the block runs, every record of `topics`, from the oldest on, goes to `each` as aiokafka gives it."""
    consumer = browser(settings, *topics)
    await consumer.start()

    async def read() -> None:
        async for raw in consumer:
            each(raw)

    reading = asyncio.create_task(read())
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await consumer.stop()
