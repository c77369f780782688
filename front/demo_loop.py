"""`stillhouse demo --loop`: a filter learns while the stream runs.

    1. a new filter's first version is trained on few labels, and released
    2. the stream starts with it; the replay oracle answers its requests, and the labels reach the store
    3. the retraining job waits for enough new labels, trains the head on the frozen trunk, and passes its gate
    4. the release is announced, and the stream that kept running scores with the new version

Everything lies in a temporary folder; the active filters of the machine are not touched.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from consumers.runtime import STAGES, open_stream, prepare_topics
from core.article import Article
from core.errors import NotReleasedError, StillhouseError
from core.jsonl import Line
from core.settings import Settings
from core.topics import REJECTED, SCORED
from front.learner import NAME, Plan, Sizes, learner_machine, plan_articles, write_samples
from front.loop_run import Clock, LoopRun, Seen
from front.watching import watching
from models.registry import ReleaseLoader
from offline.activation import Activated
from offline.candidates import Candidate, open_workshop, train_from_store
from offline.label_store import LabelStore
from offline.release import Released, release
from offline.retrain import Retrained, retrain
from offline.transfer import import_labels
from producers.publish import publish_lines, raw_producer
from producers.releases import Release, announce

_ANSWERED = 0.75
"""Share of the streamed articles whose labels start the retraining; commerce takes about a seventh of them."""
_PART = 8
_PART_PAUSE_SEC = 1.5

Say = Callable[[str], None]


def run_loop(settings: Settings, own: Settings, sizes: Sizes, say: Say) -> LoopRun:
    """Run the loop once.

    Args:
        settings: of the machine: weights, compiled graphs and cached features.
        own: a broker and a home of the demo's own; the broker runs.

    Raises:
        StillhouseError: a step failed or was refused.
    """
    machine = learner_machine(settings, own)
    plan = plan_articles(machine, sizes)
    write_samples(machine, plan)
    clock = Clock()
    store = LabelStore(machine.label_store)
    files = machine.home / "first_labels.jsonl", machine.home / "first_articles.jsonl"
    import_labels(store, *files)
    say(f"{len(plan.first)} labelled articles to begin with, {len(plan.judging)} of them to judge by. Training v1.")
    workshop = open_workshop(settings)
    candidate = train_from_store(machine, NAME, store.snapshot(), workshop)
    first = release(machine.filters, candidate.folder, candidate.truth, candidate.predict)
    say(f"{NAME} v1 is released: MAE {first.verdict.metrics['mae']:.3f} ({clock.lap('first version'):.0f} s).")
    known = len(store.labels(NAME))
    loop = _Loop(
        machine, plan, first, known, settings.home, say, clock, lambda at: train_from_store(machine, NAME, at, workshop)
    )
    return asyncio.run(_loop(loop))


@dataclass(frozen=True)
class _Loop:
    settings: Settings
    plan: Plan
    first: Released
    labels: int
    weights: Path
    say: Say
    clock: Clock
    train: Callable[[Any], Candidate]


async def _loop(loop: _Loop) -> LoopRun:
    settings, plan, say, clock = loop.settings, loop.plan, loop.say, loop.clock
    loader = ReleaseLoader(settings.model_copy(update={"home": loop.weights}))
    await prepare_topics(settings)
    seen = Seen()
    async with (
        watching(settings, SCORED, REJECTED, each=seen.add),
        open_stream(settings, STAGES, lambda a: loader.load(a).cascade, lanes=1),
    ):
        await _publish(settings, plan.streamed)
        say(f"The stream scores {len(plan.streamed)} articles with v1; the replay oracle is asked about each.")
        verdict, second = await _retrain_when_ready(loop, seen)
        clock.lap("labels and retraining")
        say(verdict.line)
        await announce(settings, [Release(second.activated.name, second.activated.version, second.activated.sha256)])
        for start in range(0, len(plan.after), _PART):
            await _publish(settings, plan.after[start : start + _PART])
            await asyncio.sleep(_PART_PAUSE_SEC)
        await _until(lambda: seen.count >= len(plan.streamed) + len(plan.after), seen)
        say(f"The running stream switched to {second.activated.version} ({clock.lap('switch'):.0f} s).")
    published = len(plan.streamed) + len(plan.after)
    if second.activated.version not in seen.scored.values():
        raise StillhouseError("The running stream did not switch to the new version.", action="See its log.")
    labels = len(LabelStore(settings.label_store).labels(NAME))
    return LoopRun(loop.first, verdict, second, published, labels, seen, clock.laps)


async def _retrain_when_ready(loop: _Loop, seen: Seen) -> tuple[Retrained, Released]:
    """Run the job as cron would, again and again, until it comes to a verdict."""
    released: list[Released] = []

    def publish(candidate: Candidate) -> Activated:
        released.append(release(loop.settings.filters, candidate.folder, candidate.truth, candidate.predict))
        return released[-1].activated

    wanted = loop.labels + round(_ANSWERED * len(loop.plan.streamed))
    while True:
        result = await asyncio.to_thread(retrain, loop.settings, NAME, (loop.train, publish), wanted)
        if result.outcome == "released":
            return result, released[-1]
        if result.outcome != "waiting":
            raise NotReleasedError(f"The loop ends here: {result.line}.", action="Run it again, or see `labels check`.")
        loop.say(f"{seen.count} outcomes; {result.detail}")
        await asyncio.sleep(5)


async def _publish(settings: Settings, articles: Sequence[Article]) -> None:
    lines = [Line(number, orjson.dumps(article.to_dict()), article) for number, article in enumerate(articles, 1)]
    async with raw_producer(settings) as producer:
        await publish_lines(lines, producer)


async def _until(done: Callable[[], bool], seen: Seen, patience_sec: float = 400) -> None:
    last, since = seen.count, time.monotonic()
    while not done():
        await asyncio.sleep(0.2)
        if seen.count != last:
            last, since = seen.count, time.monotonic()
        if time.monotonic() - since > patience_sec:
            raise StillhouseError(
                f"No record came out of the stream for {patience_sec:g} s.", action="Run `stillhouse run` for its logs."
            )


def show_loop(settings: Settings, as_json: bool) -> None:
    """The demo as `stillhouse demo --loop` runs it: steps on stderr, the result on stdout."""
    import typer

    from consumers.embedded import embedded_broker
    from front.demo import own_machine

    started = time.perf_counter()

    def say(text: str) -> None:
        typer.echo(f"{time.perf_counter() - started:5.0f} s  {text}", err=True)

    with own_machine(settings) as own, embedded_broker(own):
        result = run_loop(settings, own, Sizes(), say).to_dict()
    if as_json:
        typer.echo(orjson.dumps(result).decode())
        return
    versions = ", ".join(f"{count} by {version}" for version, count in result["scored_by_version"].items())
    typer.echo(f"{result['published']} articles published while it ran, {result['outcomes']} outcomes: {versions}.")
    typer.echo(f"{result['labels']} labels; MAE on the same held-out articles {result['mae_before']:.3f} -> "
               f"{result['mae_after']:.3f}.")  # fmt: skip
    typer.echo(f"{time.perf_counter() - started:.0f} seconds in all.")
