"""`stillhouse demo`: the whole stream once, on its own embedded broker, and proof that no article was lost.

Nothing of it stays: port, offsets, claims and labels are temporary. Weights and compiled graphs are the machine's.
"""

import asyncio
import contextlib
import socket
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from consumers.active import Loader
from consumers.dead import DeadLetter
from consumers.embedded import embedded_broker
from consumers.kafka import browser, to_record
from consumers.runtime import STAGES, open_stream, prepare_topics
from core import topics
from core.article import Article
from core.errors import StillhouseError
from core.jsonl import Line, open_input, read_lines
from core.settings import PROJECT, Settings
from front.serve import Plan, serve
from models.oracle.load import why_not_ready
from producers.feeds.sample_server import sample_feeds
from producers.publish import PublishReport, publish_lines, raw_producer

SAMPLES = PROJECT / "producers" / "samples" / "demo.jsonl"
BATCH = 16
"""Smaller than the stream's default, so that a short demo shows its first results early."""

OUTCOMES = (topics.SCORED, topics.REJECTED, topics.DEAD)
_PATIENCE_SEC = 300.0
"""Without any new record for this long, the demo gives up and says what is missing."""


@dataclass
class Tally:
    """Every record that came out of the stream. `dead` are articles, `unanswered` requests to the oracle."""

    published: int | None = None
    scored: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    unanswered: list[DeadLetter] = field(default_factory=list)
    requests: int = 0
    labelled: int = 0
    redelivered: int = 0
    first_outcome_at: float | None = None
    _seen: set[tuple[str, bytes]] = field(default_factory=set)

    def is_new(self, topic: str, key: bytes) -> bool:
        """False for a record that came before, byte for byte: delivery is at least once."""
        new = (topic, key) not in self._seen
        self._seen.add((topic, key))
        self.redelivered += not new
        return new

    @property
    def outcomes(self) -> int:
        return len(self.scored) + len(self.rejected) + len(self.dead)

    @property
    def asked(self) -> int:
        """Scored articles that say of some filter that the oracle is asked."""
        return sum(any(f["oracle"] for f in record["filters"].values()) for record in self.scored)

    def counts(self) -> dict[str, Any]:
        """For programs: what was published, and what became of it."""
        return {
            "published": self.published,
            "scored": len(self.scored),
            "rejected": dict(Counter(record["reason"] for record in self.rejected)),
            "dead": dict(Counter(letter.reason for letter in self.dead)),
            "oracle_requests": self.requests,
            "labelled": self.labelled,
            "unanswered": dict(Counter(letter.reason for letter in self.unanswered)),
            "redelivered": self.redelivered,
            "faults": self.faults(),
        }

    def faults(self) -> list[str]:
        """Whatever does not add up, in words; empty if each article has exactly one outcome."""
        found = []
        if self.outcomes != self.published:
            found.append(f"{self.published} articles were published, but {self.outcomes} outcomes came back")
        repeated = [i for i, n in Counter(r["id"] for r in (*self.scored, *self.rejected)).items() if n > 1]
        if repeated:
            found.append(f"more than one outcome for {', '.join(repeated[:5])}")
        if self.requests != self.asked:
            found.append(f"{self.asked} articles were to be asked about, {self.requests} requests lie on the topic")
        return found


@dataclass(frozen=True)
class Run:
    """A finished demo: what came out, and how long it took."""

    tally: Tally
    first_outcome_sec: float
    total_sec: float


def run_demo(settings: Settings, loader: Loader, articles: Path = SAMPLES, count: int | None = None) -> Run:
    """Publish the articles, malformed lines included, and wait until every one of them has its outcome.

    Raises:
        StillhouseError: a stage cannot start, or outcomes stay away.
    """
    lines = _distinct_lines(articles, count)
    if not lines:
        raise StillhouseError(f"{articles} holds no article.", action="Name a file of JSON lines.")
    with own_machine(settings) as own, embedded_broker(own):
        return asyncio.run(_stream(own, loader, lines))


def run_board(settings: Settings, loader: Loader, articles: Path = SAMPLES, count: int | None = None) -> None:
    """The articles as live feeds of a local site, read, scored and shown on the board, until Ctrl-C."""
    written = [line.outcome for line in _distinct_lines(articles, count) if isinstance(line.outcome, Article)]
    with own_machine(settings) as own, sample_feeds(written) as subscriptions:
        local = own.model_copy(update={"feeds_allow_private": True})
        asyncio.run(serve(local, Plan(STAGES, feeds=subscriptions, board=True), loader))


def _distinct_lines(articles: Path, count: int | None) -> list[Line]:
    """A line that is repeated byte for byte gives the same record twice, which could not be told from a redelivery."""
    with open_input(str(articles)) as stream:
        lines = list(islice(read_lines(stream), count))
    return list({line.body if isinstance(line.outcome, Article) else line.number: line for line in lines}.values())


@contextlib.contextmanager
def own_machine(settings: Settings) -> Iterator[Settings]:
    """Settings with a broker's port and state of their own: a `stillhouse run` beside it notices nothing."""
    with tempfile.TemporaryDirectory(prefix="stillhouse-demo-") as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        own = {"kafka": None, "port": port, "home": Path(folder), "labels": None, "metrics_port": 0}
        yield settings.model_copy(update=own | {"session_timeout_sec": 1.0, "batch": BATCH})


async def _stream(settings: Settings, loader: Loader, lines: Sequence[Line]) -> Run:
    started = time.perf_counter()
    tally = Tally()
    await prepare_topics(settings)
    with _progress(len(lines)) as show:
        async with _watching(settings, tally, show) as changed:
            publishing = asyncio.create_task(_publish(settings, lines))
            async with open_stream(settings, STAGES, loader, lanes=1):
                tally.published = (await publishing).published
                await _settled(tally, changed, labels=why_not_ready(settings) is None)
    first = tally.first_outcome_at or started
    return Run(tally, first - started, time.perf_counter() - started)


async def _publish(settings: Settings, lines: Sequence[Line]) -> PublishReport:
    async with raw_producer(settings) as producer:
        return await publish_lines(lines, producer, malformed_too=True)


async def _settled(tally: Tally, changed: asyncio.Event, *, labels: bool) -> None:
    """Return when each article has its outcome and the oracle its requests; surplus records are waited for."""
    while tally.outcomes < (tally.published or 0) or tally.requests < tally.asked or (labels and _unlabelled(tally)):
        changed.clear()
        try:
            await asyncio.wait_for(changed.wait(), _PATIENCE_SEC)
        except TimeoutError:
            raise StillhouseError(
                f"No record came out of the stream for {_PATIENCE_SEC:g} s: "
                f"{tally.outcomes} of {tally.published} articles have an outcome.",
                action="Run `stillhouse run` to see the stages' logs.",
            ) from None


def _unlabelled(tally: Tally) -> bool:
    return tally.labelled + len(tally.unanswered) < tally.requests


@contextlib.asynccontextmanager
async def _watching(settings: Settings, tally: Tally, show: Callable[[Tally], None]) -> AsyncIterator[asyncio.Event]:
    """Reads everything that leaves the stream; the event is set whenever something came."""
    changed = asyncio.Event()
    consumer = browser(settings, *OUTCOMES, topics.ORACLE_REQUESTS, topics.ORACLE_LABELS)
    await consumer.start()

    async def read() -> None:
        async for raw in consumer:
            _count(tally, raw)
            show(tally)
            changed.set()

    reading = asyncio.create_task(read())
    try:
        yield changed
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await consumer.stop()


def _count(tally: Tally, raw: Any) -> None:
    if raw.topic == topics.DEAD:
        letter = DeadLetter.from_record(to_record(raw))
        if tally.is_new(raw.topic, letter.place.encode()):
            (tally.unanswered if letter.original.topic == topics.ORACLE_REQUESTS else tally.dead).append(letter)
    elif tally.is_new(raw.topic, raw.value):
        match raw.topic:
            case topics.SCORED:
                tally.scored.append(orjson.loads(raw.value))
            case topics.REJECTED:
                tally.rejected.append(orjson.loads(raw.value))
            case topics.ORACLE_REQUESTS:
                tally.requests += 1
            case topics.ORACLE_LABELS:
                tally.labelled += 1
    if raw.topic in OUTCOMES and tally.first_outcome_at is None:
        tally.first_outcome_at = time.perf_counter()


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[Tally], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("loading models", total=total)

        def show(tally: Tally) -> None:
            text = f"{len(tally.scored)} scored, {len(tally.rejected)} rejected, {len(tally.dead)} dead letters"
            bar.update(task, completed=tally.outcomes, description=text)

        yield show
