"""Where articles go: articles.raw, each confirmed by every replica before `publish` returns."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from core.errors import TransientError
from core.settings import Settings
from core.topics import RAW
from producers.publish import raw_producer

log = logging.getLogger("stillhouse.feeds")

_FIRST_PAUSE_SEC = 1.0
_MAX_PAUSE_SEC = 60.0


class Sink(Protocol):
    async def publish(self, articles: Sequence[tuple[str, bytes]]) -> None:
        """Publish (id, payload) pairs; returns when all of them are confirmed."""

    async def close(self) -> None: ...


class KafkaSink:
    """Waits for a broker that is away, as polling does then; gives up after `give_up_sec` where that is set."""

    def __init__(self, settings: Settings, give_up_sec: float | None = None) -> None:
        self._settings = settings
        self._give_up_sec = give_up_sec
        self._open = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def publish(self, articles: Sequence[tuple[str, bytes]]) -> None:
        """See Sink.

        Raises:
            TransientError: the broker stayed away for longer than `give_up_sec`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._give_up_sec if self._give_up_sec is not None else float("inf")
        pause_sec = _FIRST_PAUSE_SEC
        while True:
            try:
                return await self._publish(articles)
            except TransientError as error:
                if loop.time() + pause_sec > deadline:
                    raise
                log.warning("%s Trying again in %.0f s; polling waits.", error.message, pause_sec)
            await asyncio.sleep(pause_sec)
            pause_sec = min(_MAX_PAUSE_SEC, 2 * pause_sec)

    async def close(self) -> None:
        """Flush and disconnect."""
        self._producer = None
        await self._open.aclose()

    async def _publish(self, articles: Sequence[tuple[str, bytes]]) -> None:
        producer = await self._connected()
        try:
            sent = [await producer.send(RAW, payload, key=identifier.encode()) for identifier, payload in articles]
            await asyncio.gather(*sent)
        except KafkaError as error:
            # A new producer always works; an idempotent one may be past saving.
            async with self._lock:
                if self._producer is producer:
                    await self.close()
            raise TransientError(f"Kafka at {self._settings.bootstrap} did not confirm: {error!r}.") from error

    async def _connected(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                self._producer = await self._open.enter_async_context(raw_producer(self._settings, wait_sec=5))
            return self._producer
