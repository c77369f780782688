"""How much stands on each topic, how fast it grows and how much waits before each stage: asked of Kafka itself."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from consumers.reading import committed_offsets, end_offsets, reader
from consumers.recorder import Recorder, SilentRecorder
from consumers.status import SOURCES
from consumers.topics import admin_client
from core import topics
from core.errors import TransientError
from core.settings import Settings

log = logging.getLogger(__name__)

EVERY_SEC = 3.0
WINDOW_SEC = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the cluster. `lags` has None for a stage that never committed: it has not run yet."""

    at_sec: float
    records: Mapping[str, int]
    lags: Mapping[str, int | None]


@dataclass
class Gauge:
    """Looks every few seconds until cancelled."""

    settings: Settings
    recorder: Recorder = field(default_factory=SilentRecorder)
    readings: deque[Reading] = field(default_factory=lambda: deque(maxlen=int(WINDOW_SEC / EVERY_SEC) + 1))

    @property
    def latest(self) -> Reading | None:
        return self.readings[-1] if self.readings else None

    def per_minute(self, topic: str) -> float | None:
        """Records appended per minute over the last minute, None until two readings are there."""
        if len(self.readings) < 2:
            return None
        first, last = self.readings[0], self.readings[-1]
        grown = last.records.get(topic, 0) - first.records.get(topic, 0)
        return max(0.0, grown) * 60 / max(1e-3, last.at_sec - first.at_sec)

    async def run(self) -> None:
        while True:
            try:
                await self._watch()
            except (KafkaError, OSError, TransientError) as error:
                log.debug("No figures from Kafka: %s", error)
            self.readings.clear()
            await asyncio.sleep(EVERY_SEC)

    async def _watch(self) -> None:
        async with admin_client(self.settings) as admin, reader(self.settings) as consumer:
            while True:
                self.readings.append(await self._read(admin, consumer))
                await asyncio.sleep(EVERY_SEC)

    async def _read(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> Reading:
        wanted = {topic.name for topic in topics.TOPICS}
        existing = sorted(wanted & set(await admin.list_topics()))
        described = await admin.describe_topics(existing) if existing else []
        partitions = [TopicPartition(t["topic"], p["partition"]) for t in described for p in t["partitions"]]
        ends = await end_offsets(self.settings, consumer, partitions) if partitions else {}
        records = {name: sum(end for place, end in ends.items() if place.topic == name) for name in existing}
        lags: dict[str, int | None] = {}
        for stage, topic in SOURCES.items():
            waiting = await self._waiting(admin, stage, topic, ends)
            lags[stage] = None if waiting is None else sum(waiting.values())
            self.recorder.stage(stage).lag(topic, waiting or {})
        return Reading(time.monotonic(), records, lags)

    async def _waiting(
        self, admin: AIOKafkaAdminClient, stage: str, topic: str, ends: Mapping[TopicPartition, int]
    ) -> dict[int, int] | None:
        """Records that wait, by partition."""
        places = [place for place in ends if place.topic == topic]
        done = await committed_offsets(admin, f"{self.settings.group_prefix}.{stage}", places) if places else {}
        return {place.partition: max(0, ends[place] - done.get(place, 0)) for place in places} if done else None
