"""Records of the outer topics as the stages would write them, with scores drawn from a seed."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from consumers.dead import dead_letter
from consumers.records import Record
from core import topics
from core.article import Article
from core.errors import RefusedRecord
from core.gated import Gated
from core.messages import FilterResult, Labelled, OracleLabel, Rejected, Scored
from core.scoring import weigh
from core.spec import FilterSpec, load_spec

FILTERS = Path(__file__).parents[2] / "filters"
VERSIONS = {
    "uplifting": "v6",
    "sustainability_technology": "v3",
    "investment-risk": "v6",
    "cultural-discovery": "v4",
    "belonging": "v1",
    "nature_recovery": "v1",
}
SPECS = {name: load_spec(FILTERS / name / version / "config.yaml") for name, version in VERSIONS.items()}
RELEASES = "5" * 64


def record(topic: str, key: str, value: bytes | None, offset: int, at_ms: int, **headers: bytes) -> Record:
    named = tuple((name.replace("_", "-"), content) for name, content in headers.items())
    return Record(topic, 0, offset, at_ms, key.encode(), value, named)


def scored(article: Article, rng: random.Random, keen: float = 0.35) -> Scored:
    """A scored article in which each filter is open with probability `keen`."""
    return Scored(
        article,
        round(rng.random() * 0.2, 3),
        {name: result(spec, rng, opened=rng.random() < keen) for name, spec in SPECS.items()},
        RELEASES,
    )


def result(spec: FilterSpec, rng: random.Random, *, opened: bool, level: float | None = None) -> FilterResult:
    centre = level if level is not None else rng.uniform(2.5, 8.5) if opened else rng.uniform(0, 1.8)
    scores = {name: round(min(10.0, max(0.0, rng.gauss(centre, 1.0))), 1) for name in spec.dimension_names}
    verdict = weigh(spec, scores)
    half = rng.uniform(0.4, 1.1)
    near = min(abs(verdict.value - tier.at_least) for tier in spec.tiers) < half
    return FilterResult(
        version=spec.version,
        stage="scorer" if opened else "probe",
        scores=scores,
        weighted=verdict.value,
        interval=(round(max(0, verdict.value - half), 2), round(min(10, verdict.value + half), 2)),
        tier=verdict.tier,
        gatekeeper=verdict.gatekeeper,
        percentile=round(min(99.9, verdict.value * 10 + rng.random() * 5), 1),
        oracle="near_threshold" if opened and near and rng.random() < 0.4 else None,
    )


def labelled(record: Scored, rng: random.Random) -> Labelled | None:
    """What an oracle near the prediction answers for the filters that asked."""
    labels = {}
    for name, predicted in record.filters.items():
        if predicted.oracle:
            scores = {d: round(min(10.0, max(0.0, s + rng.gauss(0, 0.7))) * 2) / 2 for d, s in predicted.scores.items()}
            quoted = next(iter(scores))
            evidence = {quoted: record.article.text[:140]} if record.article.text else {}
            labels[name] = OracleLabel(
                predicted.version, scores, "gemini-2.5-flash", "ab" * 8, rng.uniform(0.02, 0.5), predicted.oracle,
                predicted.weighted, predicted.stage, 0.0031, evidence,
            )  # fmt: skip
    return Labelled(record.article, labels, RELEASES) if labels else None


def dead(reason: str, offset: int, at_ms: int) -> Record:
    original = Record(topics.RAW, 0, offset, at_ms - 50, b"k", b'{"title": 7, "text": "not a title"}')
    message = dead_letter(original, "screen", RefusedRecord(reason, "title must be a string, got int"))
    return Record(topics.DEAD, 0, offset, at_ms, message.key, message.value, message.headers)


def stream(
    articles: list[Article], seed: int, *, spacing_ms: int = 7_000, end_ms: int | None = None
) -> Iterator[Record]:
    """Records of all outer topics for `articles`, the last one at `end_ms` (now)."""
    rng = random.Random(seed)
    start = (end_ms or int(time.time() * 1000)) - spacing_ms * len(articles)
    offsets = dict.fromkeys((t.name for t in topics.TOPICS), 0)

    def made(topic: str, key: str, value: bytes, at_ms: int, **headers: bytes) -> Record:
        offsets[topic] += 1
        return record(topic, key, value, offsets[topic] - 1, at_ms, **headers)

    for index, article in enumerate(articles):
        at_ms = start + index * spacing_ms
        raw_ts = str(at_ms - rng.randrange(80, 900)).encode()
        if rng.random() < 0.08:
            reason = rng.choice(["commerce", "commerce", "duplicate", "consent_wall", "too_short"])
            rejected = Rejected(article, reason, "at least 0.95" if reason == "commerce" else "", 0.97)
            yield made(topics.REJECTED, article.id, rejected.to_bytes(), at_ms, trace_raw_ts=raw_ts)
            continue
        gated = Gated(article, np.full(4, 0.5, np.float32))
        yield made(topics.GATED, article.id, gated.to_bytes(), at_ms - 40)
        verdict = scored(article, rng)
        yield made(topics.SCORED, article.id, verdict.to_bytes(), at_ms, trace_raw_ts=raw_ts)
        if (labels := labelled(verdict, rng)) and rng.random() < 0.8:
            yield made(topics.ORACLE_LABELS, article.id, labels.to_bytes(), at_ms + 3_000)


def articles(count: int, seed: int = 7) -> list[Article]:
    """Invented articles in several scripts."""
    rng = random.Random(seed)
    words = [
        "river",
        "school",
        "harvest",
        "bridge",
        "council",
        "music",
        "clinic",
        "forest",
        "market",
        "library",
        "coast",
        "village",
        "archive",
    ]
    greek, chinese = "Το χωριό φυτεύει ξανά το δάσος", "社區重新種植了森林"
    sources = ["The Harbour", "Dagblad", "Εφημερίδα", "晨報", "Valley Voice"]
    made = []
    for index in range(count):
        language = rng.choice(["en", "en", "nl", "el", "zh"])
        title = {"el": greek, "zh": chinese}.get(language, " ".join(rng.sample(words, 5)).capitalize())
        made.append(
            Article(
                id=f"article-{seed}-{index}",
                title=f"{title} {index}",
                text=" ".join(rng.choices(words, k=60)),
                url=f"https://news.example/{seed}/{index}",
                source=rng.choice(sources),
                language=language,
                published="2026-11-20T08:00:00Z",
            )
        )
    return made
