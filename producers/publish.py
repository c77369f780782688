"""JSON lines to articles.raw: keyed by article id, acknowledged by every replica."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError

from core.article import MAX_BYTES
from core.errors import RefusedRecord, TransientError
from core.jsonl import Line
from core.kafka_options import client_options
from core.settings import Settings
from core.topics import RAW

MAX_UNCONFIRMED = 2_000
"""Records sent ahead of their confirmations: a few MB, and enough to keep the connection busy."""

_REQUEST_BYTES = 3 * MAX_BYTES
_FIRST_PAUSE_SEC = 0.25
_MAX_PAUSE_SEC = 4.0


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is no article, and so was not published."""

    line: int
    reason: str
    detail: str


@dataclass
class PublishReport:
    """What became of every line."""

    published: int = 0
    refused: list[RefusedLine] = field(default_factory=list)


@asynccontextmanager
async def raw_producer(
    settings: Settings, *, wait_sec: float = 10, notify: Callable[[str], None] = lambda _: None
) -> AsyncIterator[AIOKafkaProducer]:
    """A connected producer; tries for `wait_sec` while no broker answers, and tells `notify` so.

    Raises:
        TransientError: no broker answered, or it has no topic articles.raw.
    """
    producer = AIOKafkaProducer(
        **client_options(settings),
        acks="all",
        compression_type="zstd",
        linger_ms=5,
        max_request_size=_REQUEST_BYTES,
        enable_idempotence=not settings.embedded,
    )
    try:
        await _connect(producer, settings.bootstrap, wait_sec, notify)
        yield producer
    finally:
        await producer.stop()


async def publish_lines(
    lines: Iterable[Line],
    producer: AIOKafkaProducer,
    *,
    malformed_too: bool = False,
    progress: Callable[[int, int], None] = lambda published, refused: None,
) -> PublishReport:
    """Publish every line that is an article, and return when the broker has confirmed all of them.

    Args:
        malformed_too: publish the other lines as well, without a key; the stream makes dead letters of them.
        progress: told the counts of confirmed and refused lines after each group.
    """
    report = PublishReport()
    unconfirmed: list[Awaitable[object]] = []
    for line in lines:
        refusal = line.outcome if isinstance(line.outcome, RefusedRecord) else None
        if refusal and not malformed_too:
            report.refused.append(RefusedLine(line.number, refusal.reason, refusal.detail))
            continue
        key = None if isinstance(line.outcome, RefusedRecord) else line.outcome.id.encode()
        unconfirmed.append(await producer.send(RAW, line.body, key=key))
        if len(unconfirmed) >= MAX_UNCONFIRMED:
            await _confirm(unconfirmed, report)
            progress(report.published, len(report.refused))
    await _confirm(unconfirmed, report)
    progress(report.published, len(report.refused))
    return report


async def _confirm(unconfirmed: list[Awaitable[object]], report: PublishReport) -> None:
    try:
        await asyncio.gather(*unconfirmed)
    except KafkaError as error:
        raise TransientError(
            f"Kafka did not confirm all records: {error!r}; {report.published} were confirmed before.",
            action="Publish again once the broker is well: ids make the repetition harmless.",
        ) from error
    report.published += len(unconfirmed)
    unconfirmed.clear()


async def _connect(producer: AIOKafkaProducer, bootstrap: str, wait_sec: float, notify: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    deadline, pause_sec = loop.time() + wait_sec, _FIRST_PAUSE_SEC
    while (missing := await _what_is_missing(producer, bootstrap)) is not None:
        if loop.time() + pause_sec > deadline:
            raise missing
        notify(f"{missing.message} Trying again in {pause_sec:g} s.")
        await asyncio.sleep(pause_sec)
        pause_sec = min(_MAX_PAUSE_SEC, 2 * pause_sec)


async def _what_is_missing(producer: AIOKafkaProducer, bootstrap: str) -> TransientError | None:
    try:
        await producer.start()
        await producer.partitions_for(RAW)
    except KafkaConnectionError:
        return TransientError(
            f"No Kafka broker answers at {bootstrap}.",
            action="Start one with `stillhouse run`, or set STILLHOUSE_KAFKA.",
        )
    except UnknownTopicOrPartitionError:
        return TransientError(
            f"The broker at {bootstrap} has no topic {RAW}.", action="Create the topics with `stillhouse topics apply`."
        )
    return None
