"""The delivery rule, the same in every stage. docs/operations.md explains each step to operators.

    1. decode    each record by itself; one that cannot be decoded becomes a dead letter
    2. isolate   records that were in flight when a process died: smaller and smaller parts, then dead letters
    3. handle    the rest; a transient error pauses consumption and tries again, any other error halves the batch
    4. publish   all results and dead letters, and await every confirmation
    5. commit    the offsets: FastStream does it when `deliver` returns, and rewinds the batch when it raises

Nothing is committed before its outcome is stored, so a crash at any point repeats work and loses none.
"""

import asyncio
import inspect
import itertools
import logging
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, cast

from consumers.attempts import Attempts, NoAttempts, Part
from consumers.dead import TOO_LARGE, Fault, dead_letter
from consumers.records import Message, Outcome, Publisher, Record, Stage
from consumers.tracing import NoTracer, Tracer, Traces
from core.errors import RefusedRecord, TransientError

log = logging.getLogger("stillhouse.delivery")

T = TypeVar("T")
R = TypeVar("R")

RAW_TIME = "trace-raw-ts"
"""Header with the time, in ms, at which the article was appended to articles.raw."""

TRANSIENT = (TransientError, OSError, sqlite3.OperationalError)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Bounded exponential pauses. After `give_up_sec` the batch is rewound, which polls Kafka and starts anew."""

    first_sec: float = 0.2
    longest_sec: float = 10.0
    give_up_sec: float = 120.0

    def pause_sec(self, attempt: int) -> float:
        """Pause after the `attempt`-th failure (from 1), with up to a quarter of jitter."""
        return min(self.longest_sec, self.first_sec * 2.0 ** min(attempt - 1, 30)) * random.uniform(0.75, 1.0)


@dataclass(slots=True)
class Report:
    """What became of one batch, for logs and metrics. `raw_ms` is the raw time of each record, 0 if unknown."""

    stage: str
    records: int
    published: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    handle_sec: float = 0.0
    publish_sec: float = 0.0
    raw_ms: list[int] = field(default_factory=list)

    def count_published(self, topic: str) -> None:
        self.published[topic] = self.published.get(topic, 0) + 1

    def count_dead(self, reason: str) -> None:
        self.dead[reason] = self.dead.get(reason, 0) + 1


class Observer(Protocol):
    """Is told of every batch after its results are stored; must neither block nor raise."""

    def delivered(self, report: Report) -> None: ...


class _Silent:
    def delivered(self, report: Report) -> None: ...


@dataclass
class _Batch(Generic[T]):
    """One batch on its way through the five steps; dictionaries are by index of the record."""

    records: Sequence[Record]
    report: Report
    traces: Traces
    decoded: dict[int, T] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)

    def attempts(self, index: int) -> int:
        return 1 + self.report.retries + self.deaths.get(index, 0)


@dataclass
class Delivery(Generic[T]):
    """Runs one stage by the rule above. Batches of one Delivery never overlap; two may share a `worker`."""

    stage: Stage[T]
    publisher: Publisher
    worker: Executor | None = None
    attempts: Attempts = field(default_factory=NoAttempts)
    backoff: Backoff = Backoff()
    observer: Observer = field(default_factory=_Silent)
    tracer: Tracer = field(default_factory=NoTracer)

    async def deliver(self, records: Sequence[Record]) -> None:
        """Returns once every record's outcome is stored. Raises TransientError after `give_up_sec`."""
        with self.tracer.batch(self.stage.name, records) as traces:
            await self._deliver(records, traces)

    async def _deliver(self, records: Sequence[Record], traces: Traces) -> None:
        name = self.stage.name
        report = Report(name, len(records), raw_ms=[raw_time_ms(r) for r in records])
        batch: _Batch[T] = _Batch(records, report, traces)
        self._decode(batch)
        for part in self.attempts.plan(name, [(index, records[index]) for index in batch.decoded]):
            batch.deaths |= dict.fromkeys(part.indices, part.deaths)
            if part.killer:
                batch.outcomes[part.indices[0]] = part.killer
            else:
                await self._handle(batch, part)
        await self._publish(batch)
        self.attempts.forget(name, records)
        self.observer.delivered(batch.report)

    def _decode(self, batch: _Batch[T]) -> None:
        for index, record in enumerate(batch.records):
            try:
                batch.decoded[index] = self.stage.decode(record)
            except RefusedRecord as refusal:
                batch.outcomes[index] = refusal
            except Exception as error:
                batch.outcomes[index] = Fault.of("decode_error", error)

    async def _handle(self, batch: _Batch[T], part: Part) -> None:
        started = time.perf_counter()
        try:
            answers = await self._retry(lambda: self._call(batch, part), batch.report)
        except TRANSIENT:
            raise
        except Exception as error:
            if len(part.indices) > 1:
                log.warning("%s: %d records fail together (%r), halving", self.stage.name, len(part.indices), error)
                for half in part.halves():
                    await self._handle(batch, half)
            else:
                log.exception("%s: a record fails and becomes a dead letter", self.stage.name)
                batch.outcomes[part.indices[0]] = Fault.of("handler_error", error)
            return
        batch.outcomes.update(zip(part.indices, answers, strict=True))
        batch.report.handle_sec += time.perf_counter() - started

    async def _call(self, batch: _Batch[T], part: Part) -> Sequence[Outcome]:
        records = [batch.records[index] for index in part.indices]
        items = [batch.decoded[index] for index in part.indices]
        if inspect.iscoroutinefunction(self.stage.handle):
            with self.attempts.running(self.stage.name, records):
                return cast(Sequence[Outcome], await self.stage.handle(items))

        def work() -> Sequence[Outcome]:
            with self.attempts.running(self.stage.name, records):
                return cast(Sequence[Outcome], self.stage.handle(items))

        return await asyncio.get_running_loop().run_in_executor(self.worker, work)

    async def _publish(self, batch: _Batch[T]) -> None:
        started = time.perf_counter()
        messages = self._messages(batch)
        await self._retry(lambda: self._publish_once(batch, messages), batch.report)
        batch.report.publish_sec = time.perf_counter() - started

    def _messages(self, batch: _Batch[T]) -> list[tuple[int, Message]]:
        """All messages with the index of their record, in order; an outcome too large for Kafka is a dead letter."""
        stage = ("stage", self.stage.name.encode())
        messages: list[tuple[int, Message]] = []
        for index, record in enumerate(batch.records):
            outcome = self._fitting(batch.outcomes[index])
            if isinstance(outcome, RefusedRecord):
                messages.append((index, dead_letter(record, self.stage.name, outcome, attempts=batch.attempts(index))))
                batch.report.count_dead(outcome.reason)
                batch.traces.refused(index, outcome.reason)
                continue
            raw_time = (RAW_TIME, b"%d" % batch.report.raw_ms[index])
            attempt = ("attempt", b"%d" % batch.attempts(index))
            headers = (raw_time, *batch.traces.headers(index), attempt, stage)
            for topic, key, value, own in outcome:
                messages.append((index, Message(topic, key, value, headers + own)))
                batch.report.count_published(topic)
        return messages

    def _fitting(self, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, RefusedRecord):
            limit = self.publisher.max_bytes
            for _, _, value, _ in outcome:
                if value and len(value) > limit:
                    return RefusedRecord(TOO_LARGE, f"the outcome has {len(value)} bytes, the limit is {limit}")
        return outcome

    async def _publish_once(self, batch: _Batch[T], pending: list[tuple[int, Message]]) -> None:
        """Publish `pending` and keep in it what was not stored; raises where another try is due."""
        answers = await self.publisher.publish([message for _, message in pending])
        failed = [(index, message, answer) for (index, message), answer in zip(pending, answers, strict=True) if answer]
        pending.clear()
        for index, message, answer in failed:
            if isinstance(answer, RefusedRecord):
                log.error("%s: Kafka refuses an outcome (%s); it becomes a dead letter", self.stage.name, answer)
                message = dead_letter(batch.records[index], self.stage.name, answer, attempts=batch.attempts(index))
            pending.append((index, message))
        if failed:
            refused = TransientError("Kafka refused outcomes; their dead letters are published instead.")
            raise next((answer for *_, answer in failed if isinstance(answer, TransientError)), refused)

    async def _retry(self, call: Callable[[], Awaitable[R]], report: Report) -> R:
        """Consumption pauses by itself meanwhile: the next batch is fetched after this one."""
        deadline = time.monotonic() + self.backoff.give_up_sec
        for failures in itertools.count(1):
            try:
                return await call()
            except TRANSIENT as error:
                pause = self.backoff.pause_sec(failures)
                if time.monotonic() + pause > deadline:
                    raise TransientError(f"{self.stage.name}: still failing, the batch is rewound: {error}") from error
                report.retries += 1
                log.warning("%s: %s Next try in %.1f s.", self.stage.name, error, pause)
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")


def raw_time_ms(record: Record) -> int:
    """When the article was appended to articles.raw: its own time there, further down the header says it."""
    carried = record.number(RAW_TIME)
    return record.timestamp_ms if carried is None else carried
