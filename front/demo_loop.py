"""`stillhouse demo --loop`: a filter learns while the stream runs.

    1. a new filter's first version is trained on few labels, and released
    2. the stream starts with it; the replay oracle answers its requests, and the labels reach the store
    3. the retraining job waits for enough new labels, trains the head on the frozen trunk, and passes its gate
    4. the release is announced, and the stream that kept running scores with the new version

Everything lies in a temporary folder; the active filters of the machine are not touched.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml

from consumers.kafka import browser
from consumers.runtime import STAGES, open_stream, prepare_topics
from core.article import Article
from core.errors import NotReleasedError, StillhouseError
from core.jsonl import Line
from core.package import load_manifest
from core.releases import RELEASES_FILE, Activation, find_package, load_activation
from core.settings import PROJECT, Settings
from core.topics import REJECTED, SCORED
from models.registry import ReleaseLoader
from offline.activation import Activated
from offline.candidates import Candidate, open_workshop, train_from_store, trunk_of
from offline.dataset import read_articles, read_jsonl
from offline.label_store import LabelStore
from offline.release import Released, release
from offline.retrain import Retrained, retrain
from offline.training.settled import settled_sides
from offline.transfer import import_labels
from producers.publish import publish_lines, raw_producer
from producers.releases import Release, announce

TEACHER = "uplifting"
NAME = "uplifting-anew"
"""The filter that learns: the rubric of TEACHER, but a name that the trunk was never trained for."""
SAMPLES = PROJECT / "producers" / "samples"

_ANSWERED = 0.6
"""Share of the streamed articles whose labels start the retraining; the commerce head rejects about a fifth."""
_PART = 8
_PART_PAUSE_SEC = 1.5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """How many articles: `first` train the first version (beside those kept for judging), `streamed` are asked
    about while the stream runs, `after` show the new version. Chosen for under ten minutes on two cores."""

    first: int = 24
    streamed: int = 200
    after: int = 40


@dataclass
class Seen:
    """What left the stream: versions by article id, in order, and rejections."""

    scored: dict[str, str] = field(default_factory=dict)
    rejected: set[str] = field(default_factory=set)
    sets: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.scored) + len(self.rejected)


@dataclass(frozen=True)
class LoopRun:
    """A finished loop. seconds: by step. published: articles; each has exactly one outcome in `seen`."""

    first: Released
    verdict: Retrained
    second: Released
    published: int
    labels: int
    seen: Seen
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        versions = list(self.seen.scored.values())
        return {
            "filter": NAME,
            "published": self.published,
            "outcomes": self.seen.count,
            "labels": self.labels,
            "scored_by_version": {version: versions.count(version) for version in sorted(set(versions))},
            "release_sets": list(dict.fromkeys(self.seen.sets)),
            "verdict": self.verdict.to_dict(),
            "mae_before": self.second.verdict.current and self.second.verdict.current["mae"],
            "mae_after": self.second.verdict.metrics["mae"],
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }


def run_loop(settings: Settings, own: Settings, sizes: Sizes, say: Say) -> LoopRun:
    """Run the loop once.

    Args:
        settings: of the machine: weights, compiled graphs and cached features.
        own: a broker and a home of the demo's own; the broker runs.

    Raises:
        StillhouseError: a step failed or was refused.
    """
    machine = _machine(settings, own)
    plan = _plan(machine, sizes)
    _write_samples(machine, plan)
    clock = _Clock()
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
class _Plan:
    """Articles by role; `judging` are those of `first` that the trunk's split keeps back."""

    first: Sequence[Article]
    judging: frozenset[str]
    streamed: Sequence[Article]
    after: Sequence[Article]


@dataclass
class _Clock:
    """Seconds of every step, and since the start."""

    started: float = field(default_factory=time.perf_counter)
    laps: dict[str, float] = field(default_factory=dict)

    def lap(self, name: str) -> float:
        self.laps[name] = time.perf_counter() - self.started - sum(self.laps.values())
        return self.laps[name]


@dataclass(frozen=True)
class _Loop:
    settings: Settings
    plan: _Plan
    first: Released
    labels: int
    weights: Path
    say: Say
    clock: _Clock
    train: Callable[[Any], Candidate]


async def _loop(loop: _Loop) -> LoopRun:
    settings, plan, say, clock = loop.settings, loop.plan, loop.say, loop.clock
    loader = ReleaseLoader(settings.model_copy(update={"home": loop.weights}))
    await prepare_topics(settings)
    seen = Seen()
    async with _watching(settings, seen), open_stream(settings, STAGES, lambda a: loader.load(a).cascade, lanes=1):
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


def _machine(settings: Settings, own: Settings) -> Settings:
    """Filter folder of the demo: the trunk, the commerce head and the learner alone, which asks about every article."""
    root = own.home / "filters"
    commerce = load_activation(settings.filters).commerce
    teacher = find_package(settings.filters, TEACHER, load_activation(settings.filters).filters[TEACHER])
    trunk = trunk_of(settings, teacher)
    version = load_manifest(trunk)[0]
    shutil.copytree(trunk, root / "trunks" / version.name.removeprefix("trunks/") / version.version)
    shutil.copytree(find_package(settings.filters, "commerce", commerce), root / "commerce" / commerce)
    config = yaml.safe_load((teacher / "config.yaml").read_text(encoding="utf-8"))
    config |= {"name": NAME, "version": "v1", "status": "draft", "bars": {"max_mae": 2.0}}
    config["routing"] = {"audit_rate": 1.0, "near_threshold_rate": 1.0}
    draft = root / NAME / "v1"
    draft.mkdir(parents=True)
    (draft / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    shutil.copyfile(teacher / "prompt.md", draft / "prompt.md")
    (root / RELEASES_FILE).write_bytes(orjson.dumps(Activation(filters={}, commerce=commerce).model_dump(mode="json")))
    replay = {"oracle": "replay", "oracle_replay": own.home / "replay.jsonl", "oracle_daily_usd": 100.0}
    return own.model_copy(update={"filters": (root,), "oracle_daily_calls": 100_000, **replay})


def _plan(settings: Settings, sizes: Sizes) -> _Plan:
    """Held-out articles are labelled first, so that both versions are judged on the same ones."""
    articles = list(read_articles([SAMPLES / "articles.jsonl"]).values())
    sides = settled_sides(next((settings.filters[0] / "trunks").glob("*/v*")))
    judging = frozenset(a.id for a in articles if sides.get(a.id) in ("val", "test"))
    rest = [article for article in articles if article.id not in judging]
    first = [article for article in articles if article.id in judging] + rest[: sizes.first]
    streamed = rest[sizes.first : sizes.first + sizes.streamed]
    after = rest[sizes.first + sizes.streamed :][: sizes.after]
    return _Plan(first, judging, streamed, after)


def _write_samples(settings: Settings, plan: _Plan) -> None:
    """The sample labels under the learner's name: all for the replay oracle, those of the first articles to import."""
    labels = [
        {**record, "filter": NAME, "version": "v1"}
        for record in read_jsonl(SAMPLES / "labels.jsonl")
        if record["filter"] == TEACHER
    ]
    first = {article.id for article in plan.first}
    _write(settings.home / "replay.jsonl", labels)
    _write(settings.home / "first_labels.jsonl", [record for record in labels if record["article_id"] in first])
    _write(settings.home / "first_articles.jsonl", [article.to_dict() for article in plan.first])


def _write(path: Path, records: Sequence[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))


async def _publish(settings: Settings, articles: Sequence[Article]) -> None:
    lines = [Line(number, orjson.dumps(article.to_dict()), article) for number, article in enumerate(articles, 1)]
    async with raw_producer(settings) as producer:
        await publish_lines(lines, producer)


@contextlib.asynccontextmanager
async def _watching(settings: Settings, seen: Seen) -> AsyncIterator[None]:
    consumer = browser(settings, SCORED, REJECTED)
    await consumer.start()

    async def read() -> None:
        async for raw in consumer:
            record = orjson.loads(raw.value)
            if raw.topic == REJECTED:
                seen.rejected.add(record["id"])
            else:
                seen.scored[record["id"]] = record["filters"][NAME]["version"]
                seen.sets.append(record["releases"])

    reading = asyncio.create_task(read())
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await consumer.stop()


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
