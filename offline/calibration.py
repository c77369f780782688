"""Fits of what core/calibration.py applies: curves per dimension, gate, conformal band, percentiles."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.isotonic import IsotonicRegression

from core.calibration import ConformalBand, Curve, Gate, Normalisation
from core.spec import FilterSpec
from offline.dataset import Array
from offline.training.targets import weighted_scores

_POINTS = 24
SPREAD_GOAL = 0.98
"""Least ratio of predicted to oracle's standard deviation that calibration aims at; .9 is the bar on new data."""
COVERAGE = 0.9
MIN_SAMPLE = 300


def curve_through(x: Array, y: Array) -> Curve:
    """A monotone curve through sorted points, thinned to the corners of the step function."""
    x, y = np.round(np.asarray(x, float), 4), np.round(np.maximum.accumulate(np.asarray(y, float)), 4)
    x, first = np.unique(x, return_index=True)
    y = y[first]
    keep = np.ones(len(x), dtype=bool)
    keep[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    return Curve(x=tuple(x[keep].tolist()), y=tuple(y[keep].tolist()))


def isotonic_points(guess: Array, truth: Array, weights: Array, grid: Array) -> Array:
    """Weighted isotonic regression of truth on guess, read off at `grid`."""
    fit = IsotonicRegression(out_of_bounds="clip").fit(guess, truth, sample_weight=weights)
    return np.asarray(fit.predict(grid))


def quantile_points(guess: Array, truth: Array, weights: Array, grid: Array) -> Array:
    """Quantile matching: the truth's value at the rank that `grid` has among the guesses."""
    order, other = np.argsort(guess, kind="stable"), np.argsort(truth, kind="stable")
    rank = np.interp(grid, guess[order], _ranks(weights[order]))
    return np.interp(rank, _ranks(weights[other]), truth[other])


def _ranks(weights: Array) -> Array:
    total = np.cumsum(weights, dtype=np.float64)
    return np.asarray((total - weights / 2) / total[-1])


def fit_curves(spec: FilterSpec, guess: Array, truth: Array, weights: Array) -> dict[str, Curve]:
    """Curves per dimension: a mixture of isotonic regression and quantile matching.

    Isotonic means are compressed by the correlation and lie above the many zeros; matched quantiles have the oracle's
    spread and its zeros, but err more where the ranking is wrong. The mixture is one number for the filter: of those
    that reach SPREAD_GOAL in the weighted score, the one with the least error.

    Args: guess, truth: [n, dimensions]. weights: [n].
    """
    grids = [np.unique(np.quantile(column, np.linspace(0, 1, _POINTS * 2))) for column in guess.T]
    columns = list(zip(guess.T, truth.T, grids, strict=True))
    means = [isotonic_points(g, t, weights, x) for g, t, x in columns]
    matched = [quantile_points(g, t, weights, x) for g, t, x in columns]
    oracle = weighted_scores(spec, truth)
    goal = SPREAD_GOAL * _spread(oracle, weights)

    def cost(points: list[Array]) -> tuple[bool, float]:
        scores = np.stack([np.interp(g, x, y) for (g, _, x), y in zip(columns, points, strict=True)], axis=1)
        weighted = weighted_scores(spec, scores)
        error = float(np.average(np.abs(weighted - oracle), weights=weights))
        return _spread(weighted, weights) < goal, error

    mixtures = [
        [(1 - share) * a + share * b for a, b in zip(means, matched, strict=True)] for share in np.linspace(0, 1, 11)
    ]
    best = min(mixtures, key=cost) if any(not cost(points)[0] for points in mixtures) else matched
    return {name: curve_through(x, y) for name, x, y in zip(spec.dimension_names, grids, best, strict=True)}


def _spread(values: Array, weights: Array) -> float:
    mean = np.average(values, weights=weights)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def apply_curves(spec: FilterSpec, curves: dict[str, Curve], raw: Array) -> Array:
    """[n, dimensions] as Calibration.apply gives, for many rows at once."""
    columns = [
        np.interp(raw[:, at], curves[name].x, curves[name].y) if name in curves else raw[:, at]
        for at, name in enumerate(spec.dimension_names)
    ]
    scores: Array = np.round(np.clip(np.stack(columns, axis=1), 0, 10), 2).astype(np.float32)
    return scores


def miss_rate_bound(misses: int, positives: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson upper bound of a miss rate."""
    if misses >= positives:
        return 1.0
    return float(beta.ppf(confidence, misses + 1, positives - misses))


_CERTIFIABLE_FACTOR = 3.0
"""Even without any miss the bound must come within this factor of the target, else positives are too few."""


def fit_gate(gate_scores: Array, relevant: NDArray[np.bool_], max_miss_rate: float) -> Gate:
    """The highest threshold that misses at most `max_miss_rate` of the relevant articles."""
    positives = int(relevant.sum())
    best_bound = miss_rate_bound(0, positives) if positives else 1.0
    if best_bound > _CERTIFIABLE_FACTOR * max_miss_rate:
        return Gate(
            positives=positives,
            note=f"stays open: {positives} relevant articles bound the miss rate at {best_bound:.3f} at best, "
            f"more than {_CERTIFIABLE_FACTOR:g} times the target of {max_miss_rate:g}",
        )
    allowed = int(max_miss_rate * positives)
    threshold = float(np.sort(gate_scores[relevant])[allowed])
    # Rounded down, so that the article that sets the threshold passes it.
    threshold = float(np.floor(threshold * 1e6) / 1e6)
    misses = int((gate_scores[relevant] < threshold).sum())
    return Gate(
        threshold=threshold,
        positives=positives,
        misses=misses,
        miss_rate_upper95=round(miss_rate_bound(misses, positives), 4),
        closed_share=round(float((gate_scores < threshold).mean()), 4),
    )


def fit_band(weighted: Array, gap: Array, truth: Array) -> ConformalBand | None:
    """Locally weighted split conformal band from predictions that have not seen `truth`.

    Difficulty grows with the weighted score and with the disagreement of scorer and probe; the factor is the
    finite-sample quantile of the residuals, each normalised by a difficulty that was fitted without it: a difficulty
    that has seen the residuals explains them too well, and the band holds too few.
    """
    count = len(truth)
    if count < 20:
        return None
    residual = np.abs(weighted - truth).astype(np.float64)

    def fit_predict(fit: NDArray[np.int64], rest: NDArray[np.int64]) -> Array:
        sigma, slope = _fit_difficulty(weighted[fit], gap[fit], residual[fit])
        return np.interp(weighted[rest], sigma.x, sigma.y) + slope * gap[rest]

    rank = min(count, int(np.ceil((count + 1) * COVERAGE)))
    factor = round(float(np.sort(residual / out_of_fold(count, fit_predict))[rank - 1]), 3)
    sigma, slope = _fit_difficulty(weighted, gap, residual)
    return ConformalBand(sigma=sigma, disagreement=round(slope, 3), lower=factor, upper=factor)


def _fit_difficulty(weighted: Array, gap: Array, residual: Array) -> tuple[Curve, float]:
    """The residual expected at a weighted score, and what each point of disagreement adds."""
    floor = max(0.02, 0.15 * float(residual.mean()))
    edges = np.unique(np.quantile(weighted, np.linspace(0, 1, 13)))
    center, level = _binned(weighted, residual, edges)
    sigma = curve_through(center, np.maximum(level, floor))
    return sigma, _slope(gap, residual - np.interp(weighted, sigma.x, sigma.y))


def _binned(x: Array, y: Array, edges: Array) -> tuple[Array, Array]:
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(0, len(edges) - 2))
    used = np.unique(place)
    return np.array([x[place == b].mean() for b in used]), np.array([y[place == b].mean() for b in used])


def _slope(gap: Array, excess: Array) -> float:
    """Least-squares slope through the origin, at least 0."""
    return max(0.0, float((gap * excess).sum() / max(1e-9, float((gap**2).sum()))))


def out_of_fold(
    count: int, fit_predict: Callable[[NDArray[np.int64], NDArray[np.int64]], Array], folds: int = 5, seed: int = 0
) -> Array:
    """Predictions for each row by a fit on the other folds: fit_predict(fit rows, rows to predict)."""
    order = np.random.default_rng(seed).permutation(count)
    parts = np.array_split(order, folds)
    results: list[tuple[NDArray[np.int64], Array]] = []
    for part in parts:
        results.append((part, fit_predict(np.setdiff1d(order, part), part)))
    first = results[0][1]
    found = np.empty((count, *first.shape[1:]), dtype=np.float32)
    for part, values in results:
        found[part] = values
    return found


def fit_normalisation(weighted: Array) -> Normalisation:
    """Percentiles among the filter's own predictions on a feed. Too few articles: no curve, so no percentile."""
    if len(weighted) < MIN_SAMPLE:
        return Normalisation(sample=len(weighted), min_sample=MIN_SAMPLE)
    levels = np.concatenate([np.linspace(0, 95, 39), np.linspace(96, 100, 9)])
    x = np.percentile(weighted, levels)
    values, last = np.unique(np.round(x, 3)[::-1], return_index=True)
    percent = levels[::-1][last]
    return Normalisation(
        sample=len(weighted),
        min_sample=MIN_SAMPLE,
        quantiles=Curve(x=tuple(values.tolist()), y=tuple(np.round(percent, 2).tolist())),
    )
