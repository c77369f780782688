"""A lane: one consumer of a stage. Hands its batches to the frame, and finishes the batch in hand before its
partitions move to another worker."""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError
from faststream import AckPolicy
from faststream.kafka.message import KafkaAckableMessage

from consumers.delivery import Delivery
from consumers.kafka import consumer_options, to_record
from core.settings import Settings

if TYPE_CHECKING:
    from faststream.kafka import KafkaBroker

log = logging.getLogger("stillhouse.lane")

_BATCH_TIMEOUT_MS = 200
_REWIND_PAUSE_SEC = 1.0
_FINISH_SEC = 3.0
"""A rebalance waits this long for the batch in hand, and all other workers with it; a longer batch is repeated."""


class Lane(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Subscribes to the stage's topic as one member of its group."""

    def __init__(self, broker: "KafkaBroker", settings: Settings, delivery: Delivery[Any]) -> None:
        self._delivery = delivery
        self._idle = asyncio.Event()
        self._idle.set()
        self._finished: dict[TopicPartition, int] = {}
        self._begun: dict[TopicPartition, int] = {}
        stage = delivery.stage
        self.stage, self.topic = stage.name, stage.source
        self._subscriber = broker.subscriber(
            stage.source,
            group_id=f"{settings.group_prefix}.{stage.name}",
            batch=True,
            max_records=min(settings.batch, getattr(stage, "max_records", settings.batch)),
            batch_timeout_ms=_BATCH_TIMEOUT_MS,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            listener=self,
            no_reply=True,
            title=stage.name,
            description=(type(stage).__doc__ or "").strip(),
            **consumer_options(settings),
        )
        self._subscriber(self._deliver, parser=self._parse, decoder=_raw_records)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._finished.clear()
        self._begun.clear()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Let the batch in hand end, and commit it while the group still takes our commits.

        Only offsets of finished batches are named: the consumer's own position may be a batch further.
        """
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _FINISH_SEC)
        offsets = {partition: self._finished[partition] for partition in revoked if partition in self._finished}
        consumer = self._subscriber.consumer
        if offsets and consumer:
            try:
                await consumer.commit(offsets)
            except KafkaError as error:
                log.info(
                    "%s: partitions moved before their commit: %s", self._delivery.stage.name, type(error).__name__
                )

    async def waiting(self) -> dict[int, int]:
        """Records that are not committed yet, by partition that this lane owns; those in hand count. Asks Kafka."""
        consumer = self._subscriber.consumer
        owned = list(consumer.assignment()) if consumer else []
        if not consumer or not owned:
            return {}
        ends = await consumer.end_offsets(owned)
        if unknown := set(owned) - self._finished.keys() - self._begun.keys():
            begins = await consumer.beginning_offsets(list(unknown))
            for partition in unknown:
                self._begun[partition] = max(begins[partition], await consumer.committed(partition) or 0)
        done = {**self._begun, **self._finished}
        still = consumer.assignment() & ends.keys() & done.keys()  # partitions may have moved meanwhile
        # The embedded broker's own answer may lag behind what it has sent us, see consumers/reading.py.
        return {p.partition: max(0, max(ends[p], consumer.highwater(p) or 0) - done[p]) for p in still}

    async def _parse(self, raw: Any) -> KafkaAckableMessage:
        # FastStream's own parser decodes every header as UTF-8, and one bad header then fails the batch for ever.
        return KafkaAckableMessage(raw_message=raw, body=b"", headers={}, consumer=self._subscriber.consumer)

    async def _deliver(self, batch: Any) -> None:
        self._idle.clear()
        try:
            await self._delivery.deliver([to_record(raw) for raw in batch])
            for raw in batch:
                self._finished[TopicPartition(raw.topic, raw.partition)] = raw.offset + 1
        except Exception:
            await asyncio.sleep(_REWIND_PAUSE_SEC)  # FastStream rewinds and fetches at once
            raise
        finally:
            self._idle.set()


async def _raw_records(message: KafkaAckableMessage) -> Any:
    return message.raw_message


class Calm(logging.Filter):
    """FastStream reports a refused commit as CRITICAL with a traceback; to us it is a batch that another repeats."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], CommitFailedError):
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg = "A batch was not committed: its partitions moved to another worker, which repeats it."
            record.args, record.exc_info = (), None
        return not record.getMessage().startswith("Auto create topics is disabled")
