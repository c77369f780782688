"""Opens what the stages of one process need, in order, and closes it in reverse: `stillhouse run` in one place."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal

from consumers import topics
from consumers.active import ActiveReleases, Announcement, Loader
from consumers.app import LANES, StageBroker, Wiring, build_broker, stream, until_stopped
from consumers.attempts import SqliteAttempts
from consumers.claims import SqliteClaims
from consumers.delivery import Backoff
from consumers.kafka import KafkaPublisher, browser, to_record
from consumers.lag import LagReporter
from consumers.metrics import open_recorder
from consumers.oracle import OracleStage
from consumers.oracle import open_stage as open_oracle
from consumers.reading import read_to_end
from consumers.recorder import Recorder
from consumers.records import Record, Stage
from consumers.score import ScoreStage
from consumers.screen import ScreenStage
from consumers.tracing import open_tracing
from core.errors import RefusedRecord, StillhouseError, TransientError
from core.releases import load_activation
from core.settings import Settings
from core.topics import RELEASES
from models.oracle.load import why_not_ready

log = logging.getLogger("stillhouse.runtime")

StageName = Literal["screen", "score", "oracle", "labels"]
STAGES: tuple[StageName, ...] = ("screen", "score", "oracle", "labels")
_CASCADE_STAGES = {"screen", "score"}


@contextlib.asynccontextmanager
async def open_stream(
    settings: Settings,
    names: Sequence[StageName],
    loader: Loader,
    lanes: int = LANES,
    recorder: Recorder | None = None,
) -> AsyncIterator[StageBroker]:
    """The named stages, running. The broker must be there or come up; its topics must exist.

    Args:
        loader: builds the cascade for the screen and score stages; called in a thread.
        lanes: consumers per stage; a single one joins the embedded broker's group in one round.
        recorder: metrics that other parts of the process share; None opens the stages' own.

    Raises:
        StillhouseError: topics are missing, or the active filters cannot be loaded.
    """
    with contextlib.ExitStack() as stack:
        recorder = recorder or stack.enter_context(open_recorder(settings))
        tracing = stack.enter_context(open_tracing(settings, ",".join(names)))
        await prepare_topics(settings)
        attempts = SqliteAttempts(settings.state)
        stack.callback(attempts.close)
        publisher = KafkaPublisher(settings)
        background: list[Callable[[], Awaitable[None]]] = []
        stages: list[Stage[Any]] = []
        if _CASCADE_STAGES & set(names):
            active, follow = await _open_active(settings, loader, recorder)
            background += [active.follow, follow]
            if "screen" in names:
                claims = SqliteClaims(settings.state)
                stack.callback(claims.close)
                stages.append(ScreenStage(active, claims, recorder.stage("screen")))
            if "score" in names:
                stages.append(ScoreStage(active, recorder.stage("score")))
        stages += await _open_sinks(settings, names, recorder)
        broker = build_broker(Wiring(settings, publisher, attempts, recorder, tracing=tracing), stages, lanes)
        if settings.metrics_port:
            background.append(LagReporter(broker.lanes, recorder).run)
        try:
            async with stream(broker, background):
                log.info("Running: %s", ", ".join(stage.name for stage in stages) or "no stage")
                yield broker
        finally:
            await publisher.close()
            for stage in stages:
                if isinstance(stage, OracleStage):
                    await stage.close()


async def run_stream(settings: Settings, names: Sequence[StageName], loader: Loader) -> None:
    """The named stages until SIGTERM or SIGINT."""
    async with open_stream(settings, names, loader):
        await until_stopped()


async def prepare_topics(settings: Settings) -> None:
    """Wait for the broker, and make the topics on an embedded one. Says which address does not answer."""
    backoff = Backoff()
    for failures in range(1, 1_000_000):
        try:
            async with topics.admin_client(settings) as admin:
                if settings.embedded:
                    await topics.apply(admin, settings)
                if names := await topics.missing(admin):
                    raise StillhouseError(
                        f"Kafka at {settings.bootstrap} lacks {', '.join(names)}.",
                        action="Run `stillhouse topics apply`.",
                    )
                return
        except TransientError as error:
            pause = backoff.pause_sec(failures)
            log.warning("%s Next try in %.1f s.", error, pause)
            await asyncio.sleep(pause)


async def _open_active(
    settings: Settings, loader: Loader, recorder: Recorder
) -> tuple[ActiveReleases, Callable[[], Awaitable[None]]]:
    """The active set under all announcements so far, and the task that follows those to come."""
    configured = load_activation(settings.filters)
    consumer = browser(settings, RELEASES)
    records: list[Record] = []
    try:
        await consumer.start()
        await read_to_end(consumer, records.append)
        announced = [a for record in records if (a := _announcement(record))]
        active = await asyncio.to_thread(ActiveReleases, configured, loader, settings.filters, announced, recorder)
    except BaseException:
        await consumer.stop()
        raise

    async def follow_topic() -> None:
        try:
            async for raw in consumer:
                if announcement := _announcement(to_record(raw)):
                    active.announce(announcement)
        finally:
            await consumer.stop()

    return active, follow_topic


async def _open_sinks(settings: Settings, names: Sequence[StageName], recorder: Recorder) -> list[Stage[Any]]:
    stages: list[Stage[Any]] = []
    if "oracle" in names:
        if stage := await open_oracle(settings, recorder):
            stages.append(stage)
        else:
            log.warning("%s", why_not_ready(settings))
    if "labels" in names:
        from consumers import labels

        stages.append(await labels.open_stage(settings))
    return stages


def _announcement(record: Record) -> Announcement | None:
    try:
        return Announcement.from_record(record.key, record.value)
    except RefusedRecord as refusal:
        log.error("A record of %s is ignored: %s", RELEASES, refusal)
        return None
