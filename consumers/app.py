"""Wires stages to Kafka with FastStream, and runs them until SIGTERM, which drains.

Each stage has its lanes: consumers of one group in this process, which share the stage's worker thread. While a
lane's batch is in the models, another lane decodes, publishes and commits. Models run in threads, so the event
loop always answers heartbeats; several processes share the partitions of a stage through its consumer group.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLOAuthBearer, SASLPlaintext, SASLScram256, SASLScram512

from consumers.attempts import Attempts, NoAttempts
from consumers.delivery import Backoff, Delivery, Observer
from consumers.lane import Calm, Lane
from consumers.recorder import SilentRecorder
from consumers.records import Publisher, Stage
from consumers.tracing import Tracing
from core.errors import StillhouseError
from core.kafka_options import client_options
from core.settings import Settings

log = logging.getLogger("stillhouse.app")

LANES = 2

DRAIN_SEC = 60.0
"""How long SIGTERM waits for the batches in hand; one that takes longer is not committed, and comes again."""

_CALM = Calm()


@dataclass(frozen=True)
class Wiring:
    """What all stages of a process share."""

    settings: Settings
    publisher: Publisher
    attempts: Attempts = field(default_factory=NoAttempts)
    observer: Observer = field(default_factory=SilentRecorder)
    backoff: Backoff = field(default_factory=Backoff)
    tracing: Tracing = field(default_factory=Tracing)


class StageBroker(KafkaBroker):
    """Starts all consumers at once: a group's members that join one by one wait for one another."""

    lanes: Sequence[Lane] = ()

    async def start(self) -> None:
        await self.connect()
        await asyncio.gather(*(subscriber.start() for subscriber in self.subscribers))
        self.running = True


def build_broker(wiring: Wiring, stages: Sequence[Stage[Any]], lanes: int = LANES) -> StageBroker:
    """A broker with every lane of `stages` subscribed, not yet started."""
    options = client_options(wiring.settings)
    logger = logging.getLogger("stillhouse.faststream")
    logger.addFilter(_CALM)
    broker = StageBroker(
        options["bootstrap_servers"],
        security=_security(options),
        sasl_oauth_token_provider=options.get("sasl_oauth_token_provider"),
        allow_auto_create_topics=False,
        apply_types=False,
        graceful_timeout=DRAIN_SEC,
        middlewares=wiring.tracing.middlewares,
        logger=logger,
        log_level=logging.DEBUG,
    )
    opened: list[Lane] = []
    for stage in stages:
        worker = ThreadPoolExecutor(1, thread_name_prefix=stage.name)
        for _ in range(getattr(stage, "lanes", lanes)):
            attempts = wiring.attempts if getattr(stage, "runs_native_code", True) else NoAttempts()
            delivery = Delivery(
                stage, wiring.publisher, worker, attempts, wiring.backoff, wiring.observer, wiring.tracing.tracer
            )
            opened.append(Lane(broker, wiring.settings, delivery))
    broker.lanes = opened
    return broker


def _security(options: dict[str, Any]) -> BaseSecurity:
    """The same credentials as FastStream's type, which also describes them in AsyncAPI without their values."""
    protocol, context = options["security_protocol"], options.get("ssl_context")
    encrypted = protocol.endswith("SSL")
    mechanism = options.get("sasl_mechanism")
    if mechanism is None:
        return BaseSecurity(ssl_context=context, use_ssl=encrypted)
    if mechanism == "OAUTHBEARER":
        return SASLOAuthBearer(ssl_context=context, use_ssl=encrypted)
    kinds = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    return kinds[mechanism](
        options["sasl_plain_username"], options["sasl_plain_password"], ssl_context=context, use_ssl=encrypted
    )


@contextlib.asynccontextmanager
async def stream(
    broker: StageBroker, background: Sequence[Callable[[], Awaitable[None]]] = ()
) -> AsyncIterator[StageBroker]:
    """The stages run while the block does; at its end, batches in hand are finished and committed."""
    async with running(background):
        try:
            await broker.start()
            yield broker
        finally:
            await broker.stop()


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    log.info("Stopping: batches in hand are finished and committed.")


@contextlib.asynccontextmanager
async def running(background: Sequence[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Tasks that live as long as the block; one that fails is logged and does not end the stream."""

    async def guarded(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except StillhouseError as error:
            log.error("%s", error)
        except Exception:
            log.exception("A background task ended: %s", getattr(work, "__qualname__", work))

    tasks = [asyncio.create_task(guarded(work)) for work in background]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
