"""Follows the outer topics into the history, without a consumer group: the history file holds the position."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from consumers.board.history import HistoryWriter
from consumers.kafka import to_record
from consumers.reading import end_offsets, reader
from consumers.records import Record
from consumers.topics import admin_client
from core import topics
from core.errors import TransientError
from core.settings import Settings

log = logging.getLogger(__name__)

FOLLOWED = (topics.GATED, topics.SCORED, topics.REJECTED, topics.DEAD, topics.ORACLE_LABELS, topics.RELEASES)

BATCH = 500
POLL_MS = 250
LOOK_FOR_TOPICS_SEC = 5.0
LONGEST_PAUSE_SEC = 10.0

Place = tuple[int, int, bytes | None]
"""Offset, timestamp and key of a record."""


@dataclass
class Follower:
    """Runs until cancelled; an absent broker or topic is waited for, and `connected` says which it is."""

    settings: Settings
    writer: HistoryWriter
    changed: Callable[[], None] = lambda: None
    connected: bool = False
    caught_up: bool = False
    skipped: int = 0
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "board-history"))

    async def run(self) -> None:
        pause_sec = 0.5
        try:
            while True:
                started = time.monotonic()
                try:
                    await self._follow()
                except (KafkaError, OSError, TransientError, sqlite3.OperationalError) as error:
                    log.info("The board waits for Kafka at %s, or for its disk: %s", self.settings.bootstrap, error)
                self.connected = False
                pause_sec = 0.5 if time.monotonic() - started > 30 else min(LONGEST_PAUSE_SEC, pause_sec * 2)
                await asyncio.sleep(pause_sec)
        finally:
            # The thread may be inside a transaction: the history is closed after it, never under it.
            self._thread.submit(self.writer.close)
            self._thread.shutdown(wait=True)

    async def _follow(self) -> None:
        limits = {"max_partition_fetch_bytes": 2 << 20, "fetch_max_bytes": 8 << 20}
        async with reader(self.settings, **limits) as consumer:
            assigned: set[TopicPartition] = set()
            unproven: dict[TopicPartition, Place] = {}
            look_at = 0.0
            while True:
                if time.monotonic() >= look_at:
                    found = await self._partitions()
                    if found - assigned:
                        assigned |= found
                        unproven = await self._resume(consumer, assigned)
                    self.connected = True
                    look_at = time.monotonic() + LOOK_FOR_TOPICS_SEC
                if not assigned:
                    await asyncio.sleep(0.5)
                    continue
                records = await self._read(consumer, unproven)
                self.caught_up = len(records) < BATCH
                if records:
                    await self._apply(records)

    async def _read(self, consumer: AIOKafkaConsumer, unproven: dict[TopicPartition, Place]) -> list[Record]:
        records: list[Record] = []
        for partition, batch in (await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)).items():
            place = unproven.pop(partition, None)
            if place and (batch[0].offset, batch[0].timestamp, batch[0].key) != place:
                await consumer.seek_to_beginning(partition)
            else:
                records += map(to_record, batch)
        return records

    async def _apply(self, records: list[Record]) -> None:
        loop = asyncio.get_running_loop()
        skipped = await loop.run_in_executor(self._thread, self.writer.apply, records)
        if skipped:
            self.skipped += skipped
            log.warning("%d records on the outer topics are not ours; the board leaves them out", skipped)
        self.changed()

    async def _partitions(self) -> set[TopicPartition]:
        """Partitions of the followed topics that exist: a consumer that asks for others would create them."""
        async with admin_client(self.settings) as admin:
            existing = set(await admin.list_topics()) & set(FOLLOWED)
            described = await admin.describe_topics(sorted(existing)) if existing else []
        return {
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        }

    async def _resume(self, consumer: AIOKafkaConsumer, partitions: set[TopicPartition]) -> dict[TopicPartition, Place]:
        """Go to the last record applied of each partition, or to the beginning where the topic is another one.

        An embedded broker starts empty each time, so a stored offset may lie beyond the end or, worse, point
        into new records. The last record is therefore read again: `_read` compares it with what is returned here.
        """
        loop = asyncio.get_running_loop()
        places = await loop.run_in_executor(self._thread, self.writer.positions)
        known = {partition: places[partition] for partition in partitions if tuple(partition) in places}
        ends = await end_offsets(self.settings, consumer, list(known)) if known else {}
        starts = await consumer.beginning_offsets(list(known)) if known else {}
        consumer.assign(list(partitions))
        there = {
            partition: place for partition, place in known.items() if starts[partition] <= place[0] < ends[partition]
        }
        for partition, (offset, _, _) in there.items():
            consumer.seek(partition, offset)
        if elsewhere := partitions - set(there):
            await consumer.seek_to_beginning(*elsewhere)
        return there
