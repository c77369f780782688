"""`bench overhead`: CPU per message of each stage with the models replaced by no-ops, on records of 2 KB."""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from consumers.active import Active
from consumers.delivery import Delivery
from consumers.records import Message, Record, Stage
from consumers.score import ScoreStage
from consumers.screen import ScreenStage
from core.calibration import Gate
from core.cascade import Cascade, Judged, Models, ProbeOutput, ScorerInput
from core.claims import MemoryClaims
from core.commerce import CommerceThresholds
from core.errors import RefusedRecord, StillhouseError, TransientError
from core.messages import encode
from core.package import FilterPackage, load_package
from core.releases import ReleaseSet, find_package, load_activation
from core.settings import Settings
from core.topics import GATED, RAW

Vector = NDArray[np.float32]
BATCH = 64
_TEXT_BYTES = 1_800
_WIDTH = 384
_STAGE = TypeVar("_STAGE")


class NoEncoder:
    """One fixed vector for every text."""

    width = _WIDTH

    def __init__(self) -> None:
        self._vector = np.full(_WIDTH, _WIDTH**-0.5, dtype=np.float32)

    def encode(self, texts: Sequence[str]) -> Vector:
        return np.broadcast_to(self._vector, (len(texts), _WIDTH))


class NoProbes:
    def __init__(self, packages: Mapping[str, FilterPackage]) -> None:
        self._outputs = {
            name: ProbeOutput(1.0, np.full(len(p.spec.dimensions), 3, dtype=np.float32)) for name, p in packages.items()
        }

    def commerce(self, embedding: Vector) -> float:
        return 0.0

    def predict(self, embedding: Vector) -> Mapping[str, ProbeOutput]:
        return self._outputs


class NoScorer:
    def __init__(self, packages: Mapping[str, FilterPackage]) -> None:
        self._outputs = {name: np.full(len(p.spec.dimensions), 3, dtype=np.float32) for name, p in packages.items()}

    def score(self, inputs: Sequence[ScorerInput]) -> list[Mapping[str, Vector]]:
        return [self._outputs] * len(inputs)


@dataclass
class MemoryPublisher:
    """Keeps messages in a list instead of Kafka."""

    max_bytes: int = 1 << 22
    sent: list[Message] = field(default_factory=list)

    async def publish(self, messages: Sequence[Message]) -> list[TransientError | RefusedRecord | None]:
        self.sent += messages
        return [None] * len(messages)


@dataclass(frozen=True)
class _Lane(Generic[_STAGE]):
    stage: Stage[Any]
    publisher: MemoryPublisher

    async def feed(self, records: Sequence[Record]) -> list[Message]:
        """Deliver in batches; returns what was published."""
        delivery = Delivery(self.stage, self.publisher)
        for first in range(0, len(records), BATCH):
            await delivery.deliver(records[first : first + BATCH])
        sent, self.publisher.sent = self.publisher.sent, []
        return sent


def measure_overhead(settings: Settings, count: int, repeats: int) -> dict[str, Any]:
    """µs of CPU per message, medians over `repeats` runs of `count` articles."""
    packages = _packages(settings)
    measured = [asyncio.run(_run(packages, count, seed)) for seed in range(repeats + 1)][1:]
    stages = {
        name: round(statistics.median(run[name] for run in measured), 1) for name in ("screen", "score", "calibration")
    }
    frame = stages["screen"] + stages["score"] - stages["calibration"]
    return {
        "articles": count,
        "article_bytes": len(_record(0, 0).body),
        "filters": len(packages),
        "cpu_us_per_message": stages,
        "screen_and_score_without_calibration": round(frame, 1),
        "screen_and_score": round(stages["screen"] + stages["score"], 1),
    }


async def _run(packages: Mapping[str, FilterPackage], count: int, seed: int) -> dict[str, float]:
    """One pass: every article through screen, then through score with all filters open."""
    cascade = _cascade(packages)
    records = [_record(seed, number) for number in range(count)]
    screen = _Lane[ScreenStage](ScreenStage(Active(cascade), MemoryClaims()), MemoryPublisher())
    cpu = time.process_time()
    gated = await screen.feed(records)
    screened = time.process_time() - cpu
    if len(gated) != count or {message.topic for message in gated} != {GATED}:
        raise StillhouseError(f"{count} articles became {len(gated)} gated ones.", action="Report this as a fault.")
    onward = [Record(GATED, 0, i, 0, m.key, m.value, m.headers) for i, m in enumerate(gated)]
    score = _Lane[ScoreStage](ScoreStage(Active(cascade)), MemoryPublisher())
    cpu = time.process_time()
    await score.feed(onward)
    scored = time.process_time() - cpu
    answers = [cascade.judge(score.stage.decode(record)) for record in onward[:BATCH]]
    judged = [answer for answer in answers if isinstance(answer, Judged)]
    cpu = time.process_time()
    cascade.score(judged)
    composed = time.process_time() - cpu
    return {
        "screen": 1e6 * screened / count,
        "score": 1e6 * scored / count,
        "calibration": 1e6 * composed / len(judged),
    }


def _cascade(packages: Mapping[str, FilterPackage]) -> Cascade:
    models = Models(NoEncoder(), NoProbes(packages), NoScorer(packages), CommerceThresholds(rejected_at=1.01))
    releases = ReleaseSet({name: (p.spec.version, p.manifest_sha256) for name, p in packages.items()})
    return Cascade(releases, packages, models)


def _packages(settings: Settings) -> dict[str, FilterPackage]:
    """The active packages with gates open: every filter is calibrated from the scorer."""
    active = load_activation(settings.filters)
    found = {n: load_package(find_package(settings.filters, n, v)) for n, v in sorted(active.filters.items())}
    return {name: replace(package, gate=Gate(threshold=None)) for name, package in found.items()}


def _record(seed: int, number: int) -> Record:
    words = np.random.default_rng((seed, number)).integers(0, 26, _TEXT_BYTES // 8)
    text = " ".join(chr(97 + word) * 7 for word in words)
    body = encode({
        "id": f"bench-{seed}-{number}", "title": f"Article {number} of run {seed}", "text": text,
        "url": f"https://example.org/{number}", "source": "example.org", "language": "en",
        "published": "2026-01-01T00:00:00Z",
    })  # fmt: skip
    return Record(RAW, 0, number, 0, f"bench-{seed}-{number}".encode(), body)
