"""`stillhouse demo`: the whole stream once, on its own embedded broker, and proof that no article was lost.

Nothing of it stays: port, offsets, claims and labels are temporary. Weights and compiled graphs are the machine's.
"""

import asyncio
import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from consumers.active import Loader
from consumers.embedded import embedded_broker
from consumers.runtime import STAGES, open_stream, prepare_topics
from core.article import Article
from core.errors import StillhouseError
from core.jsonl import Line, open_input, read_lines
from core.settings import PROJECT, Settings
from front.tally import WATCHED, Tally
from front.watching import watching
from models.oracle.load import why_not_ready
from producers.publish import PublishReport, publish_lines, raw_producer

SAMPLES = PROJECT / "producers" / "samples" / "demo.jsonl"
BATCH = 8
"""Smaller than the stream's default, so that a short demo shows its first results early."""

_PATIENCE_SEC = 300.0
"""Without any new record for this long, the demo gives up and says what is missing."""


@dataclass(frozen=True)
class Run:
    """A finished demo: what came out, and how long it took since `started`."""

    tally: Tally
    first_outcome_sec: float
    total_sec: float


def run_demo(
    settings: Settings,
    loader: Loader,
    articles: Path | None = None,
    count: int | None = None,
    *,
    started: float | None = None,
) -> Run:
    """Publish the articles, malformed lines included, and wait until every one of them has its outcome.

    Args:
        articles: JSON lines; None: the samples.
        started: time.perf_counter() from which times are counted; None: now.

    Raises:
        StillhouseError: a stage cannot start, or outcomes stay away.
    """
    started = started or time.perf_counter()
    lines = distinct_lines(articles, count)
    if not lines:
        raise StillhouseError(f"{articles} holds no article.", action="Name a file of JSON lines.")
    with own_machine(settings) as own, embedded_broker(own):
        tally = asyncio.run(_stream(own, loader, lines))
    first = tally.first_outcome_at or started
    return Run(tally, first - started, (tally.last_at or started) - started)


def distinct_lines(articles: Path | None, count: int | None) -> list[Line]:
    """A line that is repeated byte for byte gives the same record twice, which could not be told from a redelivery."""
    with open_input(str(articles or SAMPLES)) as stream:
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


async def _stream(settings: Settings, loader: Loader, lines: Sequence[Line]) -> Tally:
    tally = Tally()
    await prepare_topics(settings)
    changed = asyncio.Event()
    with _progress(len(lines)) as show:

        def each(raw: Any) -> None:
            tally.add(raw)
            show(tally)
            changed.set()

        async with watching(settings, *WATCHED, each=each):
            publishing = asyncio.create_task(_publish(settings, lines))
            async with open_stream(settings, STAGES, loader, lanes=1):
                tally.published = (await publishing).published
                await _settled(tally, changed, labels=why_not_ready(settings) is None)
    return tally


async def _publish(settings: Settings, lines: Sequence[Line]) -> PublishReport:
    async with raw_producer(settings) as producer:
        return await publish_lines(lines, producer, malformed_too=True)


async def _settled(tally: Tally, changed: asyncio.Event, *, labels: bool) -> None:
    """Return when each article has its outcome and the oracle its requests; surplus records are waited for."""
    while tally.outcomes < (tally.published or 0) or tally.requests < tally.asked or (labels and tally.unlabelled):
        changed.clear()
        try:
            await asyncio.wait_for(changed.wait(), _PATIENCE_SEC)
        except TimeoutError:
            raise StillhouseError(
                f"No record came out of the stream for {_PATIENCE_SEC:g} s: "
                f"{tally.outcomes} of {tally.published} articles have an outcome.",
                action="Run `stillhouse run` to see the stages' logs.",
            ) from None


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
