"""`bench stream`: the same articles through the stream on an embedded broker, and through the cascade alone."""

import asyncio
import resource
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from consumers.embedded import embedded_broker
from consumers.kafka import browser
from consumers.runtime import open_stream, prepare_topics
from core.article import Article
from core.cascade import Cascade
from core.claims import MemoryClaims
from core.errors import StillhouseError
from core.jsonl import Line
from core.messages import Scored, encode
from core.settings import Settings
from core.topics import DEAD, REJECTED, SCORED
from front.demo import own_machine
from models.registry import load_cascade
from models.score_file import score_lines
from models.scorer import HeadScorer
from models.text_engine import TextEngine
from producers.publish import publish_lines, raw_producer

_OUTCOMES = (SCORED, REJECTED, DEAD)
_PATIENCE_SEC = 120.0
WARM_UP = 64
"""Articles before the first measurement: weights are read from disk and kernels made for new lengths."""


@dataclass(frozen=True)
class StreamPlan:
    """`check_gates` runs a second time without gates."""

    articles: Sequence[Article]
    repeats: int
    check_gates: bool = False


@dataclass(frozen=True)
class Streamed:
    """One pass through the stream, from the first publication to the last outcome. cpu_sec: of this process."""

    seconds: float
    cpu_sec: float
    records: list[dict[str, Any]]


def measure_stream(settings: Settings, plan: StreamPlan) -> dict[str, Any]:
    """All figures as one JSON-able mapping."""
    cascade = load_cascade(settings)
    lines = lines_of(plan.articles)
    cascade_alone(cascade, lines[:WARM_UP], settings.batch)
    alone, streamed, records = [], [], list[dict[str, Any]]()
    for _ in range(plan.repeats):
        forget(cascade)
        alone.append(cascade_alone(cascade, lines, settings.batch))
        forget(cascade)
        passed = through_stream(settings, cascade, lines)
        streamed.append(passed.seconds)
        records = passed.records
    result = _summary(plan, alone, streamed, records)
    if plan.check_gates:
        result["gates"] |= gate_cost(cascade, lines, records)
    return result


def forget(cascade: Cascade) -> None:
    """Empty the caches, so that a repeat measures the models again."""
    encoder, scorer = cascade.models.encoder, cascade.models.scorer
    if isinstance(encoder, TextEngine) and isinstance(scorer, HeadScorer):
        encoder.forget()
        scorer.forget()


def cascade_alone(cascade: Cascade, lines: Sequence[Line], batch: int) -> float:
    started = time.perf_counter()
    for result in score_lines(cascade, lines, MemoryClaims(), batch):
        if isinstance(result.outcome, Scored):
            result.outcome.to_bytes()
    return time.perf_counter() - started


def lines_of(articles: Sequence[Article]) -> list[Line]:
    return [Line(number, encode(article.to_dict()), article) for number, article in enumerate(articles, 1)]


def through_stream(settings: Settings, cascade: Cascade, lines: Sequence[Line]) -> Streamed:
    """All `lines` through the stages on an embedded broker of their own, with the metrics and traces of `settings`."""
    kept = settings.model_dump(include={"batch", "session_timeout_sec", "metrics_port", "otlp_endpoint"})
    with own_machine(settings) as own, embedded_broker(own):
        return asyncio.run(_stream(own.model_copy(update=kept), cascade, lines))


async def _stream(settings: Settings, cascade: Cascade, lines: Sequence[Line]) -> Streamed:
    await prepare_topics(settings)
    consumer = browser(settings, *_OUTCOMES)
    await consumer.start()
    try:
        async with open_stream(settings, ("screen", "score"), lambda _activation: cascade):
            started, cpu = time.perf_counter(), time.process_time()
            publishing = asyncio.create_task(_publish(settings, lines))
            records = await _collect(consumer, len(lines))
            seconds, cpu_sec = time.perf_counter() - started, time.process_time() - cpu
            await publishing
    finally:
        await consumer.stop()
    return Streamed(seconds, cpu_sec, [orjson.loads(value) for topic, value in records.values() if topic == SCORED])


async def _publish(settings: Settings, lines: Sequence[Line]) -> None:
    async with raw_producer(settings) as producer:
        await publish_lines(lines, producer)


async def _collect(consumer: Any, count: int) -> dict[bytes, tuple[str, bytes]]:
    """Topic and value of each article's outcome. A redelivered article brings the same one again."""
    records: dict[bytes, tuple[str, bytes]] = {}
    while len(records) < count:
        found = await consumer.getmany(timeout_ms=int(_PATIENCE_SEC * 1000))
        if not found:
            raise StillhouseError(
                f"{len(records)} of {count} outcomes came back.", action="Run `stillhouse run` to see the stages' logs."
            )
        records |= {raw.key: (raw.topic, raw.value) for batch in found.values() for raw in batch}
    return records


def _summary(
    plan: StreamPlan, alone: Sequence[float], streamed: Sequence[float], records: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    count = len(plan.articles)
    stages = Counter(part["stage"] for record in records for part in record["filters"].values())
    ratio = statistics.median(a / s for a, s in zip(alone, streamed, strict=True))
    return {
        "articles": count,
        "scored": len(records),
        "cascade_articles_per_sec": round(count / statistics.median(alone), 2),
        "stream_articles_per_sec": round(count / statistics.median(streamed), 2),
        "stream_sec": round(statistics.median(streamed), 1),
        "stream_share_of_cascade": round(ratio, 3),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "gates": {"closed_share": round(stages["probe"] / max(1, stages.total()), 3)},
    }


def gate_cost(cascade: Cascade, lines: Sequence[Line], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the gates cost: of the articles that a filter finds relevant without gates, the share it still scores."""
    gated = {record["id"]: record["filters"] for record in records}
    relevant: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for result in score_lines(replace(cascade, gates=False), lines, MemoryClaims()):
        if not isinstance(result.outcome, Scored):
            continue
        for name, part in result.outcome.filters.items():
            if part.weighted >= cascade.packages[name].spec.gate.relevant_at:
                relevant[name] += 1
                kept[name] += gated[result.outcome.article.id][name]["stage"] == "scorer"
    recall = {name: round(kept[name] / count, 3) for name, count in relevant.items()}
    return {"relevant_without_gates": dict(relevant), "recall_against_no_gate": recall}
