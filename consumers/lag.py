"""What waits before the stages of this process, partition by partition, for Prometheus."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka.errors import KafkaError

from consumers.lane import Lane
from consumers.recorder import Recorder

log = logging.getLogger(__name__)

EVERY_SEC = 5.0
_ANSWER_SEC = 10.0


@dataclass
class LagReporter:
    """Asks the lanes every few seconds until cancelled, also while their batches are paused or take long."""

    lanes: Sequence[Lane]
    recorder: Recorder
    _reported: dict[tuple[str, str], set[int]] = field(init=False, default_factory=lambda: defaultdict(set))

    async def run(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self.report(), _ANSWER_SEC)
            except (TimeoutError, KafkaError, OSError) as error:
                log.debug("No lag from Kafka: %r", error)
            await asyncio.sleep(EVERY_SEC)

    async def report(self) -> None:
        """Partitions that moved to another process are taken back: that one reports them."""
        waiting: dict[tuple[str, str], dict[int, int]] = {(lane.stage, lane.topic): {} for lane in self.lanes}
        for lane in self.lanes:
            waiting[lane.stage, lane.topic] |= await lane.waiting()
        for (stage, topic), records in waiting.items():
            moved: Mapping[int, None] = dict.fromkeys(self._reported[stage, topic] - records.keys())
            self.recorder.stage(stage).lag(topic, {**records, **moved})
            self._reported[stage, topic] = set(records)
