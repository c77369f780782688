"""`bench overhead`: CPU per article of the screen and score stages with models that cost nothing, on records of 2 KB.

Ours is what the delivery frame and the stages do with a batch in memory. On the embedded broker they cost more:
Kafka's client fetches, decompresses, compresses, sends and commits, and claims and attempts are written to disk.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.no_models import cascade_without_models
from consumers.active import Active
from consumers.delivery import Delivery, Report
from consumers.embedded import embedded_broker
from consumers.recorder import SilentRecorder
from consumers.records import Message, Record, Stage
from consumers.runtime import open_stream, prepare_topics
from consumers.score import ScoreStage
from consumers.screen import ScreenStage
from core.article import decode_article
from core.cascade import Cascade, Judged
from core.claims import MemoryClaims
from core.errors import RefusedRecord, StillhouseError, TransientError
from core.jsonl import Line
from core.messages import encode
from core.settings import Settings
from core.topics import GATED, RAW, SCORED
from front.demo import own_machine
from producers.publish import publish_lines, raw_producer

BATCH = 64
_TEXT_BYTES = 1_770
_PATIENCE_SEC = 120.0


@dataclass
class MemoryPublisher:
    """Instead of Kafka: keeps the messages in a list, or only counts them, as a stage forgets what was sent."""

    keeps: bool
    max_bytes: int = 1 << 22
    sent: list[Message] = field(default_factory=list)
    count: int = 0

    async def publish(self, messages: Sequence[Message]) -> list[TransientError | RefusedRecord | None]:
        self.count += len(messages)
        if self.keeps:
            self.sent += messages
        return [None] * len(messages)


def measure_overhead(settings: Settings, count: int, repeats: int, with_kafka: bool) -> dict[str, Any]:
    """µs of CPU per article, medians over `repeats` runs of `count` articles."""
    cascade = cascade_without_models(settings)
    runs = [asyncio.run(_in_memory(cascade, count, seed)) for seed in range(repeats + 1)][1:]
    ours = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    total = ours["screen"] + ours["score"]
    result = {
        "articles": count,
        "article_bytes": len(_record(0, 0).body),
        "filters": len(cascade.packages),
        "cpu_us_per_article": {name: round(value, 1) for name, value in ours.items()},
        "screen_and_score": round(total, 1),
    }
    if with_kafka:
        through = [_through_kafka(settings, cascade, count) for _ in range(repeats)]
        result["kafka_and_disk"] = round(statistics.median(through) - total, 1)
    return result


async def _in_memory(cascade: Cascade, count: int, seed: int) -> dict[str, float]:
    """Every article through screen, then through score with all filters open; and the verdicts' part of the latter."""
    records = [_record(seed, number) for number in range(count)]
    keeper = MemoryPublisher(keeps=True)
    await _feed(ScreenStage(Active(cascade), MemoryClaims()), records, keeper)
    gated = [Record(GATED, 0, i, 0, m.key, m.value, m.headers) for i, m in enumerate(keeper.sent)]
    if {message.topic for message in keeper.sent} != {GATED}:
        raise StillhouseError(f"{count} articles did not become gated ones.", action="Report this as a fault.")
    judged = [
        answer for r in gated if isinstance(answer := cascade.judge(ScoreStage(Active(cascade)).decode(r)), Judged)
    ]
    batches = [judged[first : first + BATCH] for first in range(0, count, BATCH)]
    gc.collect()
    gc.freeze()  # what the benchmark keeps is not the stages' to look through
    started = time.process_time()
    await _feed(ScreenStage(Active(cascade), MemoryClaims()), records, MemoryPublisher(keeps=False))
    screened = time.process_time()
    await _feed(ScoreStage(Active(cascade)), gated, MemoryPublisher(keeps=False))
    scored = time.process_time()
    for batch in batches:
        cascade.score(batch)
    composed = time.process_time()
    gc.unfreeze()
    times = {"screen": screened - started, "score": scored - screened, "of which verdicts": composed - scored}
    return {name: 1e6 * seconds / count for name, seconds in times.items()}


async def _feed(stage: Stage[Any], records: Sequence[Record], publisher: MemoryPublisher) -> None:
    delivery = Delivery(stage, publisher)
    for first in range(0, len(records), BATCH):
        await delivery.deliver(records[first : first + BATCH])


class _Arrivals(SilentRecorder):
    """Notes the CPU clock at the first batch, and once all articles are scored."""

    def __init__(self, expected: int) -> None:
        self._missing, self.started, self.ended = expected, 0.0, 0.0
        self.complete = asyncio.Event()

    def delivered(self, report: Report) -> None:
        self.started = self.started or time.process_time()
        self._missing -= report.published.get(SCORED, 0)
        if self._missing <= 0:
            self.ended = time.process_time()
            self.complete.set()


def _through_kafka(settings: Settings, cascade: Cascade, count: int) -> float:
    """µs of this process's CPU per article, from and to an embedded broker."""
    with own_machine(settings) as own, embedded_broker(own):
        return asyncio.run(_stream(own.model_copy(update={"batch": BATCH}), cascade, count))


async def _stream(settings: Settings, cascade: Cascade, count: int) -> float:
    await prepare_topics(settings)
    records = [_record(0, number) for number in range(count)]
    lines = [Line(number, record.body, decode_article(record.body)) for number, record in enumerate(records, 1)]
    async with raw_producer(settings) as producer:
        await publish_lines(lines, producer)
    arrivals = _Arrivals(count)
    async with open_stream(settings, ("screen", "score"), lambda _activation: cascade, recorder=arrivals):
        await asyncio.wait_for(arrivals.complete.wait(), _PATIENCE_SEC)
    return 1e6 * (arrivals.ended - arrivals.started) / count


def _record(seed: int, number: int) -> Record:
    """Words of seven letters in paragraphs of twenty, each with one capital."""
    letters = 97 + np.random.default_rng((seed, number)).integers(0, 26, _TEXT_BYTES // 8)
    words = [chr(letter) * 7 for letter in letters]
    text = "\n\n".join(" ".join(words[at : at + 20]).capitalize() + "." for at in range(0, len(words), 20))
    body = encode({
        "id": f"bench-{seed}-{number}", "title": f"Article {number} of run {seed}", "text": text,
        "url": f"https://example.org/{number}", "source": "example.org", "language": "en",
        "published": "2026-01-01T00:00:00Z",
    })  # fmt: skip
    return Record(RAW, 0, number, 0, f"bench-{seed}-{number}".encode(), body)
