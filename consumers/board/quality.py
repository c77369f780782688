"""Live quality: the oracle's labels against what the stream had predicted, weighted back to the true stream.

Articles near a threshold are asked far more often than others. Each label therefore counts 1 / propensity
(Hajek 1971); intervals are 95%, by linearisation for means and after Wilson (1927) with the effective sample
size (Kish) for shares.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from consumers.board.catalogue import Catalogue, humanise
from consumers.board.queries import History
from core.scoring import weigh
from core.spec import FilterSpec

LATEST = 5_000
MIN_LABELS = 30
"""Below this the interval of any figure is wider than what it could tell."""

_Z = 1.96

MEANING = {
    "error": "How far the predicted weighted score lies from the oracle's, on average, on the scale of 0 to 10.",
    "bias": "Whether predictions run high (+) or low (−) on average.",
    "agreement": "How often the stream and the oracle put an article in the same tier.",
    "recall": "Of the articles that the oracle puts in a tier above low: how many the stream found.",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class FilterQuality:
    """Figures of one filter; empty while there are fewer than `MIN_LABELS` labels."""

    name: str
    label: str
    version: str
    labels: int
    effective: float
    figures: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class _Pair:
    predicted: float
    oracle: float
    weight: float


def live_quality(history: History, catalogue: Catalogue) -> list[FilterQuality]:
    """Figures of every filter that has labels, from its latest labels of the newest labelled version."""
    rows = history.rows("SELECT filter, label FROM labels ORDER BY at_ms DESC LIMIT ?", (LATEST,))
    by_filter: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_filter.setdefault(row["filter"], []).append(orjson.loads(row["label"]))
    found = []
    for name, labels in sorted(by_filter.items()):
        version = str(labels[0]["version"])
        if spec := catalogue.spec(name, version):
            found.append(_quality(spec, [label for label in labels if label["version"] == version]))
    return found


def _quality(spec: FilterSpec, labels: Sequence[Mapping[str, Any]]) -> FilterQuality:
    pairs = list(_pairs(spec, labels))
    weights = np.array([pair.weight for pair in pairs])
    effective = float(weights.sum() ** 2 / (weights**2).sum()) if pairs else 0.0
    figures = _figures(spec, pairs, weights) if len(pairs) >= MIN_LABELS else {}
    return FilterQuality(spec.name, humanise(spec.name), spec.version, len(pairs), effective, figures)


def _pairs(spec: FilterSpec, labels: Sequence[Mapping[str, Any]]) -> Iterable[_Pair]:
    for label in labels:
        propensity, predicted = label.get("propensity") or 0, label.get("weighted")
        if predicted is None or not 0 < propensity <= 1 or set(label["scores"]) < set(spec.dimension_names):
            continue
        yield _Pair(float(predicted), weigh(spec, label["scores"]).value, 1 / propensity)


def _figures(spec: FilterSpec, pairs: Sequence[_Pair], weights: NDArray[np.float64]) -> dict[str, Estimate]:
    predicted = np.array([pair.predicted for pair in pairs])
    oracle = np.array([pair.oracle for pair in pairs])
    thresholds = [tier.at_least for tier in spec.tiers]
    same = (np.digitize(predicted, thresholds[::-1]) == np.digitize(oracle, thresholds[::-1])).astype(float)
    figures = {
        "error": weighted_mean(np.abs(predicted - oracle), weights),
        "bias": weighted_mean(predicted - oracle, weights),
        "agreement": weighted_share(same, weights),
    }
    relevant = oracle >= thresholds[-1]
    if relevant.any():
        hits = (predicted[relevant] >= thresholds[-1]).astype(float)
        figures["recall"] = weighted_share(hits, weights[relevant])
    return figures


def weighted_mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    """Hajek estimate of a mean."""
    total = weights.sum()
    mean = float((weights * values).sum() / total)
    error = math.sqrt(float((weights**2 * (values - mean) ** 2).sum())) / float(total)
    return Estimate(mean, mean - _Z * error, mean + _Z * error)


def weighted_share(hits: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    """Weighted share of ones, with Wilson's interval at the effective sample size."""
    share = min(1.0, float((weights * hits).sum() / weights.sum()))
    n = float(weights.sum() ** 2 / (weights**2).sum())
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return Estimate(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))
