"""Is a candidate fit to be released? Paired bootstrap against the current version, and the bars of its config."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.spec import FilterSpec
from offline.dataset import Array
from offline.metrics import ranking

_DRAWS = 2_000
MARGIN = 0.05
"""How much larger the error may be, as a share of the current version's: held-out sets of some hundred articles
cannot tell less, and a candidate that predicts the same must pass."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus current on the same articles, with the 90% interval of the paired bootstrap."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """`refusals` are empty for a candidate that may be released. metrics: of the candidate, on `articles`."""

    articles: int
    metrics: Mapping[str, float]
    current: Mapping[str, float] | None
    mae_difference: Difference | None
    average_precision_difference: Difference | None
    refusals: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        return not self.refusals

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"accepted": self.accepted}


def judge(spec: FilterSpec, truth: Array, candidate: Array, current: Array | None, seed: int = 0) -> Verdict:
    """Compare weighted scores on held-out articles, row by row.

    Args:
        truth, candidate, current: [n] weighted scores of the oracle and of both versions; current None: no version yet.
    """
    at = spec.gate.relevant_at
    metrics = ranking(candidate, truth, at)
    refusals = list(_below_bars(spec, metrics))
    if current is None:
        return Verdict(len(truth), metrics, None, None, None, tuple(refusals))
    before = ranking(current, truth, at)
    rows = np.random.default_rng(seed).integers(0, len(truth), (_DRAWS, len(truth)))
    error = _difference(np.abs(candidate - truth) - np.abs(current - truth), rows)
    if error.high > MARGIN * before["mae"]:
        refusals.append(
            f"MAE {metrics['mae']:.3f} against {before['mae']:.3f}: worse by up to {error.high:.3f} (95%), "
            f"{MARGIN * before['mae']:.3f} is allowed"
        )
    precision = _precision_difference(truth >= at, candidate, current, rows[:400])
    if precision and precision.high < 0:
        refusals.append(f"average precision is lower by {-precision.mean:.3f}, at least {-precision.high:.3f} (95%)")
    return Verdict(len(truth), metrics, before, error, precision, tuple(refusals))


def _below_bars(spec: FilterSpec, metrics: Mapping[str, float]) -> list[str]:
    """A bar that the data cannot measure counts as missed: a gate that cannot fail is none."""
    bars = spec.bars
    checks = [("mae", "max_mae", bars.max_mae, -1), ("spearman", "min_spearman", bars.min_spearman, 1)]
    checks += [("average_precision", "min_average_precision", bars.min_average_precision, 1)]
    refusals = []
    for metric, bar, limit, sign in checks:
        if limit is None:
            continue
        value = metrics.get(metric)
        if value is None:
            refusals.append(f"{bar} {limit:g} cannot be measured on {metrics['n']:.0f} held-out articles")
        elif sign * (value - limit) < 0:
            refusals.append(f"{metric} {value:.3f} misses the bar {bar} {limit:g}")
    return refusals


def _difference(each: NDArray[np.float32], rows: NDArray[np.int64]) -> Difference:
    low, high = np.quantile(each[rows].mean(axis=1), (0.05, 0.95))
    return Difference(float(each.mean()), float(low), float(high))


def _precision_difference(
    relevant: NDArray[np.bool_], candidate: Array, current: Array, rows: NDArray[np.int64]
) -> Difference | None:
    from sklearn.metrics import average_precision_score

    if not relevant.any() or relevant.all():
        return None
    drawn = [draw for draw in rows if relevant[draw].any() and not relevant[draw].all()]
    gaps = [
        average_precision_score(relevant[d], candidate[d]) - average_precision_score(relevant[d], current[d])
        for d in drawn
    ]
    mean = average_precision_score(relevant, candidate) - average_precision_score(relevant, current)
    low, high = np.quantile(gaps, (0.05, 0.95))
    return Difference(float(mean), float(low), float(high))
