"""Which unlabelled articles to label next for a needle filter: likely positives, diverse, without near copies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

NEAR_DUPLICATE = 0.97
"""Cosine of e5 embeddings; parallel translations reach .93-.95."""
DIVERSITY = 0.15
"""Share of the score that is taken off for likeness to what was picked before (maximal marginal relevance)."""
_NEIGHBOURS = 5
_POOL = 3
"""Diversity chooses among this many times `top` of the best ranked: it must not reach for the irrelevant."""


@dataclass(frozen=True, slots=True)
class Pick:
    """`row` of the candidates, with what spoke for it: both are ranks in [0, 1]; `probe` is None without one."""

    row: int
    score: float
    similarity: float
    probe: float | None


def screen(
    candidates: Vectors, positives: Vectors, known: Vectors, probe: NDArray[np.floating] | None, top: int
) -> list[Pick]:
    """Rank candidates by likeness to known positives and by the current probe, then pick for diversity.

    Carbonell & Goldstein 1998, with ranks in place of raw scores: cosines of e5 lie in a narrow band, a
    probe's scores do not, and only their order is comparable.

    Args:
        candidates, positives, known: [n, d] unit length; `known` are labelled already and not worth another label.
        probe: [n] the probe's score of each candidate, None for a filter without a probe.
    """
    if not len(candidates):
        return []
    similarity = _ranks(_nearness(candidates, positives)) if len(positives) else np.zeros(len(candidates))
    parts = [similarity] if len(positives) else []
    ranked_probe = None if probe is None else _ranks(probe)
    if ranked_probe is not None:
        parts.append(ranked_probe)
    score = np.mean(parts, axis=0) if parts else np.zeros(len(candidates))
    likeness = _closest(candidates, known)
    picks: list[Pick] = []
    open_rows = likeness < NEAR_DUPLICATE
    open_rows &= score >= np.sort(score[open_rows])[-_POOL * top :].min(initial=np.inf)
    while len(picks) < top and open_rows.any():
        gain = np.where(open_rows, (1 - DIVERSITY) * score - DIVERSITY * _band(likeness), -np.inf)
        row = int(gain.argmax())
        probe_rank = None if ranked_probe is None else round(float(ranked_probe[row]), 4)
        picks.append(Pick(row, round(float(gain[row]), 4), round(float(similarity[row]), 4), probe_rank))
        near = candidates @ candidates[row]
        likeness = np.maximum(likeness, near)
        open_rows &= near < NEAR_DUPLICATE
        open_rows[row] = False
    return picks


def _nearness(candidates: Vectors, positives: Vectors) -> NDArray[np.float64]:
    """Mean cosine to the nearest few positives: one odd positive must not decide alone."""
    cosines = candidates @ positives.T
    few = min(_NEIGHBOURS, cosines.shape[1])
    return np.asarray(np.partition(cosines, -few, axis=1)[:, -few:].mean(axis=1), dtype=np.float64)


def _closest(candidates: Vectors, known: Vectors) -> NDArray[np.float32]:
    if not len(known):
        return np.full(len(candidates), -1, dtype=np.float32)
    closest: NDArray[np.float32] = (candidates @ known.T).max(axis=1)
    return closest


def _band(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """e5 cosines of unrelated texts lie near .75: stretch what is above to [0, 1]."""
    stretched: NDArray[np.float32] = np.clip((cosines - 0.75) / 0.25, 0, 1)
    return stretched


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return order / max(1, len(order) - 1)
