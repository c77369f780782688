"""`bench batch`: a batch of articles through the whole stream, gates closed where they may be.

Against the typical path on a sample in the same run, and with what the gates cost.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.engine import trunk_of
from benchmarks.stream import WARM_UP, Streamed, cascade_alone, forget, gate_cost, lines_of, through_stream
from benchmarks.typical import TypicalPath
from core.article import Article
from core.cascade import Cascade, Judged
from core.settings import Settings
from core.text import model_text
from models.processor import processor
from models.registry import load_cascade
from models.weights import base_model

PREDECESSOR_TOKENS = 512
"""What the adapters before these read of an article; ours read fewer, and the first ratio compares like with like."""


@dataclass(frozen=True)
class BatchPlan:
    """`typical`: articles for the typical path. `check_gates`: score everything a second time without gates."""

    articles: Sequence[Article]
    typical: int
    check_gates: bool


def measure_batch(settings: Settings, plan: BatchPlan) -> dict[str, Any]:
    """All figures as one JSON-able mapping."""
    cascade = load_cascade(settings)
    lines = lines_of(plan.articles)
    cascade_alone(cascade, lines[:WARM_UP], settings.batch)
    forget(cascade)
    passed = through_stream(settings, cascade, lines)
    seconds = passed.seconds
    stages = Counter(part["stage"] for record in passed.records for part in record["filters"].values())
    sample = plan.articles[:: max(1, len(plan.articles) // plan.typical)][: plan.typical]
    result: dict[str, Any] = {
        "processor": str(processor()),
        "articles": len(lines),
        "scored": len(passed.records),
        "seconds": round(seconds, 1),
        "articles_per_sec": round(len(lines) / seconds, 2),
        "filters": len(cascade.packages),
        "gates": {"closed_share": round(stages["probe"] / max(1, stages.total()), 3)},
        "typical_articles": len(sample),
        "typical": _typical(settings, cascade, sample, passed, len(lines)),
        "ms_per_article": _parts(cascade, sample),
    }
    if plan.check_gates:
        result["gates"] |= gate_cost(cascade, lines, passed.records)
    return result


def _typical(
    settings: Settings, cascade: Cascade, sample: Sequence[Article], passed: Streamed, articles: int
) -> list[dict[str, Any]]:
    """Every filter on every article, at the tokens that our trunk reads and at those that the predecessor read.

    By CPU time the ratio is blind to other work on the machine.
    """
    adapter, tokens = trunk_of(settings, cascade)
    texts, found = [model_text(article) for article in sample], []
    for limit in dict.fromkeys((tokens, PREDECESSOR_TOKENS)):
        path = TypicalPath(base_model(settings).path, adapter, limit)
        path.score(texts[:2])
        started, cpu = time.perf_counter(), time.process_time()
        path.score(texts)
        each = len(cascade.packages) / len(texts)
        seconds, cpu_sec = each * (time.perf_counter() - started), each * (time.process_time() - cpu)
        found.append(
            {
                "tokens": limit,
                "articles_per_sec": round(1 / seconds, 4),
                "times": round(seconds * articles / passed.seconds, 1),
                "times_by_cpu_time": round(cpu_sec * articles / passed.cpu_sec, 1),
            }
        )
    return found


def _parts(cascade: Cascade, sample: Sequence[Article]) -> dict[str, float]:
    """Wall time of the two models, one after the other: in the stream they share the cores."""
    forget(cascade)
    started = time.perf_counter()
    gated = cascade.embed(sample)
    embedded = time.perf_counter()
    judged = [answer for item in gated if isinstance(answer := cascade.judge(item), Judged)]
    cascade.score(judged)
    ended = time.perf_counter()
    per_article = 1000 / len(sample)
    return {
        "encoder": round(per_article * (embedded - started), 1),
        "scorer": round(per_article * (ended - embedded), 1),
    }
