"""A filter on held-out articles: errors, ranking, tiers, intervals, languages and sources, beside floors and noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.scoring import tier_of
from core.spec import FilterSpec
from offline.calibration import miss_rate_bound
from offline.dataset import Array, Rated
from offline.metrics import ranking
from offline.predictions import Predictions
from offline.training.targets import weighted_scores

_MIN_GROUP = 8
"""Smaller groups of a language or source say nothing by themselves and are put together."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out articles of one filter. floors: [n, dimensions] by name."""

    spec: FilterSpec
    rated: Rated
    languages: Sequence[str]
    sources: Sequence[str]
    floors: Mapping[str, Array]


def evaluate(held_out: HeldOut, scorer: Predictions, cascade: Predictions) -> dict[str, Any]:
    """Args: scorer: every article scored; cascade: the probe answers where the gate is closed."""
    spec, rated = held_out.spec, held_out.rated
    truth = weighted_scores(spec, rated.scores)
    at = spec.gate.relevant_at
    return {
        "filter": f"{spec.name}/{spec.version}",
        "articles": len(rated),
        "weighted": ranking(scorer.weighted, truth, at),
        "cascade": ranking(cascade.weighted, truth, at),
        "floors": {name: ranking(weighted_scores(spec, s), truth, at) for name, s in held_out.floors.items()},
        "noise": noise_floor(spec, rated),
        "dimensions": dimensions(spec, scorer.scores, rated.scores),
        "tiers": tiers(spec, scorer.weighted, truth),
        "calibration": calibration_curve(scorer.weighted, truth),
        "intervals": coverage(cascade, truth),
        "gate": gate(spec, cascade, truth),
        "languages": by_group(held_out.languages, scorer, truth),
        "sources": by_group(held_out.sources, scorer, truth),
    }


def noise_floor(spec: FilterSpec, rated: Rated) -> dict[str, float]:
    """One annotator against the other, where an article has two: no model can be measured below this."""
    if len(rated.pair_rows) < 2:
        return {}
    first, second = weighted_scores(spec, rated.first), weighted_scores(spec, rated.second)
    return ranking(first, second, spec.gate.relevant_at)


def dimensions(spec: FilterSpec, guess: Array, truth: Array) -> dict[str, dict[str, float]]:
    return {
        name: ranking(guess[:, column], truth[:, column], spec.gate.relevant_at)
        for column, name in enumerate(spec.dimension_names)
    }


def tiers(spec: FilterSpec, guess: Array, truth: Array) -> dict[str, dict[str, float | None]]:
    """Recall and precision of "at least this tier"; None where no article gives one."""
    result = {}
    for tier in spec.tiers:
        said, real = guess >= tier.at_least, truth >= tier.at_least
        both = int((said & real).sum())
        result[tier.name] = {
            "at_least": tier.at_least,
            "articles": int(real.sum()),
            "recall": both / int(real.sum()) if real.any() else None,
            "precision": both / int(said.sum()) if said.any() else None,
        }
    result["same_tier"] = {
        "share": float(np.mean([tier_of(spec, a) == tier_of(spec, b) for a, b in zip(guess, truth, strict=True)]))
    }
    return result


def calibration_curve(guess: Array, truth: Array, bins: int = 10) -> list[dict[str, float]]:
    """Mean prediction and mean oracle score in bins of one point; a calibrated filter lies on the diagonal."""
    place = np.clip(guess.astype(int), 0, bins - 1)
    return [
        {"predicted": float(guess[place == b].mean()), "oracle": float(truth[place == b].mean()),
         "articles": int((place == b).sum())}
        for b in range(bins) if (place == b).any()
    ]  # fmt: skip


def coverage(predictions: Predictions, truth: Array) -> dict[str, float]:
    """Share of articles whose interval holds the oracle's score, and its mean width, by stage."""
    # Intervals are rounded to two decimals, the oracle's mean is not.
    inside = (truth >= predictions.low - 0.005) & (truth <= predictions.high + 0.005)
    wide = predictions.high - predictions.low
    known = ~np.isnan(predictions.low)
    result: dict[str, float] = {}
    for name, rows in (
        ("all", known),
        ("scorer", known & ~predictions.closed),
        ("probe", known & predictions.closed),
    ):
        if rows.any():
            result |= {name: float(inside[rows].mean()), f"{name}_width": float(wide[rows].mean())}
    return result


def gate(spec: FilterSpec, predictions: Predictions, truth: Array) -> dict[str, float]:
    """The gate on these articles: how many it closes, and how many relevant ones it misses."""
    relevant = truth >= spec.gate.relevant_at
    misses = int((predictions.closed & relevant).sum())
    return {
        "closed_share": float(predictions.closed.mean()),
        "positives": int(relevant.sum()),
        "misses": misses,
        "miss_rate_upper95": miss_rate_bound(misses, int(relevant.sum())) if relevant.any() else 1.0,
    }


def by_group(groups: Sequence[str], predictions: Predictions, truth: Array) -> dict[str, dict[str, float]]:
    """Error and bias by group; a bias that differs between groups singles one out."""
    names, counts = np.unique(np.array(groups), return_counts=True)
    small = set(names[counts < _MIN_GROUP])
    merged = np.array(["(others)" if name in small else name for name in groups])
    result = {}
    for name in sorted(set(merged)):
        rows = merged == name
        error = predictions.weighted[rows] - truth[rows]
        result[str(name)] = {
            "articles": int(rows.sum()),
            "mae": float(np.abs(error).mean()),
            "bias": float(error.mean()),
        }
    return result
