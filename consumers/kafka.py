"""Settings of our Kafka clients, and the publisher that all stages share."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import ConsumerRecord

from consumers import header_names  # noqa: F401  # for what importing it does
from consumers.dead import TOO_LARGE
from consumers.records import Message, Record
from core.article import MAX_BYTES
from core.errors import RefusedRecord, TransientError
from core.kafka_options import client_options
from core.settings import Settings
from core.topics import MESSAGE_BYTES

log = logging.getLogger("stillhouse.kafka")

EMBEDDED_SESSION_SEC = 3.0
"""The embedded broker lets a group wait half a session and more before its members may join. A set value counts."""

MAX_POLL_SEC = 300
"""Longer than any batch with all its retries (Backoff.give_up_sec twice): a slower worker loses its partitions."""

_CONFIRM_WARN_SEC = 15
_NOT_ALLOWED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
_CLOSE_SEC = 5
_PARTITIONER = DefaultPartitioner()


def consumer_options(settings: Settings) -> dict[str, Any]:
    """What a stage's consumer adds to the address and security: no record is skipped, none committed unasked."""
    session_sec = settings.session_timeout_sec
    if settings.embedded and "session_timeout_sec" not in settings.model_fields_set:
        session_sec = EMBEDDED_SESSION_SEC
    return {
        "auto_offset_reset": "earliest",
        "session_timeout_ms": int(session_sec * 1000),
        "heartbeat_interval_ms": int(min(session_sec / 4, 1.0) * 1000),  # also how soon a rebalance is noticed
        "rebalance_timeout_ms": int(max(session_sec, 5) * 1000),
        "max_poll_interval_ms": MAX_POLL_SEC * 1000,
        "fetch_max_wait_ms": 200,
        "fetch_max_bytes": 16 * MAX_BYTES,
        "max_partition_fetch_bytes": 2 * MAX_BYTES,
    }


def producer_options(settings: Settings) -> dict[str, Any]:
    """acks=all and zstd; idempotent on Apache Kafka, which the embedded broker does not know."""
    return {
        **client_options(settings),
        "acks": "all",
        "compression_type": "zstd",
        "enable_idempotence": not settings.embedded,
        "max_batch_size": MAX_BYTES,
        "max_request_size": MESSAGE_BYTES,
        "request_timeout_ms": 20_000,
    }


def to_record(raw: "ConsumerRecord[bytes, bytes]") -> Record:
    return Record(raw.topic, raw.partition, raw.offset, raw.timestamp, raw.key, raw.value, tuple(raw.headers))


def browser(settings: Settings, *topics: str, group: str | None = None, **options: Any) -> AIOKafkaConsumer:
    """A consumer that reads along without a group: for tail, dead letters, releases. Not started."""
    common = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "fetch_max_wait_ms": 200}
    return AIOKafkaConsumer(*topics, group_id=group, **client_options(settings), **(common | options))


def _append(batch: BatchBuilder, message: Message) -> bool:
    """False where the batch is full; an empty batch takes a message of any size."""
    metadata = batch.append(timestamp=None, key=message.key, value=message.value, headers=list(message.headers))
    return metadata is not None


def no_broker(settings: Settings, error: BaseException) -> TransientError:
    """What to tell of a failed request. Rights may be granted while we wait, so lacking them is transient as well."""
    if isinstance(error, _NOT_ALLOWED):
        return TransientError(f"Not allowed: {error!r}.", action="See the ACLs in docs/operations.md.")
    return TransientError(
        f"No answer from Kafka at {settings.bootstrap}: {error}.",
        action="Start the broker, or set STILLHOUSE_KAFKA to its address.",
    )


class KafkaPublisher:
    """One producer, made anew after a failure: an idempotent one may be past saving, and a new one always works.

    What was sent before the failure may then be stored twice, as equal bytes, which at-least-once allows.
    """

    max_bytes = MESSAGE_BYTES - 64 * 1024  # key, headers and framing come on top of the value

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def publish(self, messages: Sequence[Message]) -> list[TransientError | RefusedRecord | None]:
        """See consumers.records.Publisher."""
        producer = await self._connected()
        answers: list[TransientError | RefusedRecord | None] = [None] * len(messages)
        sent = await self._send(producer, messages)
        waiting = {future for _, future in sent if isinstance(future, asyncio.Future)}
        while waiting:
            _, waiting = await asyncio.wait(waiting, timeout=_CONFIRM_WARN_SEC)
            if waiting:
                log.warning("No confirmation from Kafka at %s yet; waiting.", self._settings.bootstrap)
        for indices, future in sent:
            answer = self._answer(future)
            if isinstance(answer, RefusedRecord) and len(indices) > 1:
                # The broker's limit holds for a batch: one by one shows which message is too large.
                for index in indices:
                    (answers[index],) = await self.publish([messages[index]])
            elif answer:
                for index in indices:
                    answers[index] = answer
        if any(isinstance(answer, TransientError) for answer in answers):
            await self._discard(producer)
        return answers

    async def _send(
        self, producer: AIOKafkaProducer, messages: Sequence[Message]
    ) -> list[tuple[list[int], "asyncio.Future[Any] | BaseException"]]:
        """Hand all messages to the producer, one batch per partition: a quarter cheaper than one by one."""
        sent: list[tuple[list[int], asyncio.Future[Any] | BaseException]] = []
        places: dict[tuple[str, int], list[int]] = {}
        by_topic: dict[str, list[int]] = {}
        for index, message in enumerate(messages):
            by_topic.setdefault(message.topic, []).append(index)
        for topic, indices in by_topic.items():
            try:
                partitions = sorted(await producer.partitions_for(topic))
            except KafkaError as error:
                sent.append((indices, error))
                continue
            for index in indices:
                place = _PARTITIONER(messages[index].key, partitions, partitions)
                places.setdefault((topic, place), []).append(index)
        for (topic, partition), indices in places.items():
            waiting = indices
            while waiting:
                batch = producer.create_batch()
                fitting = list(itertools.takewhile(lambda index: _append(batch, messages[index]), waiting))  # noqa: B023
                try:
                    future = await producer.send_batch(batch, topic, partition=partition)
                    sent.append((fitting, future))
                except KafkaError as error:
                    sent.append((fitting, error))
                waiting = waiting[len(fitting) :]
        return sent

    async def close(self) -> None:
        """Flush and disconnect."""
        if self._producer:
            await self._discard(self._producer)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                producer = AIOKafkaProducer(**producer_options(self._settings))
                try:
                    await producer.start()
                except (KafkaError, OSError) as error:
                    await producer.stop()
                    raise no_broker(self._settings, error) from error
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
        with contextlib.suppress(KafkaError, asyncio.TimeoutError):
            await asyncio.wait_for(producer.stop(), _CLOSE_SEC)

    def _answer(self, sent: "asyncio.Future[Any] | BaseException") -> TransientError | RefusedRecord | None:
        error = sent.exception() if isinstance(sent, asyncio.Future) else sent
        match error:
            case None:
                return None
            case MessageSizeTooLargeError() | RecordListTooLargeError():
                return RefusedRecord(TOO_LARGE, f"Kafka refuses it: {error}")
            case UnknownTopicOrPartitionError():
                return TransientError(f"A topic is missing: {error}.", action="Run `stillhouse topics apply`.")
            case KafkaConnectionError() | TopicAuthorizationFailedError():
                return no_broker(self._settings, error)
            case _:
                return TransientError(f"Kafka at {self._settings.bootstrap} did not store a message: {error!r}.")
