"""Settings of our Kafka clients, and the publisher that all stages share."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import ConsumerRecord

from consumers.dead import TOO_LARGE
from consumers.records import Message, Record
from core.article import MAX_BYTES
from core.errors import RefusedRecord, TransientError
from core.kafka_options import client_options
from core.settings import Settings
from core.topics import MESSAGE_BYTES

log = logging.getLogger("stillhouse.kafka")

EMBEDDED_SESSION_SEC = 2.0
"""The embedded broker lets a group wait about as long as the session before its members may join."""

MAX_POLL_SEC = 300
"""Longer than any batch with all its retries (Backoff.give_up_sec twice): a slower worker loses its partitions."""

_CONFIRM_WARN_SEC = 15
_CLOSE_SEC = 5


def consumer_options(settings: Settings) -> dict[str, Any]:
    """What a stage's consumer adds to the address and security: no record is skipped, none committed unasked."""
    session_sec = settings.session_timeout_sec
    if settings.embedded:
        session_sec = min(session_sec, EMBEDDED_SESSION_SEC)
    return {
        "auto_offset_reset": "earliest",
        "session_timeout_ms": int(session_sec * 1000),
        "heartbeat_interval_ms": int(session_sec * 1000 / 4),
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


def no_broker(settings: Settings, error: BaseException) -> TransientError:
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
        futures: list[asyncio.Future[Any] | BaseException] = []
        for message in messages:
            try:
                future = await producer.send(
                    message.topic, value=message.value, key=message.key, headers=list(message.headers)
                )
                futures.append(future)
            except KafkaError as error:
                futures.append(error)
        waiting = {future for future in futures if isinstance(future, asyncio.Future)}
        while waiting:
            _, waiting = await asyncio.wait(waiting, timeout=_CONFIRM_WARN_SEC)
            if waiting:
                log.warning("No confirmation from Kafka at %s yet; waiting.", self._settings.bootstrap)
        answers = [self._answer(future) for future in futures]
        if any(isinstance(answer, TransientError) for answer in answers):
            await self._discard(producer)
        return answers

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
            case TopicAuthorizationFailedError():
                return TransientError(f"Not allowed to write: {error}.", action="See the ACLs in docs/operations.md.")
            case KafkaConnectionError():
                return no_broker(self._settings, error)
            case _:
                return TransientError(f"Kafka at {self._settings.bootstrap} did not store a message: {error!r}.")
