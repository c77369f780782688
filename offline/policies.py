"""Routing policies for the backtest: with what probability is each unlabelled article asked?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """What a policy may look at: predictions of a small committee of probes, [members, n] weighted scores."""

    committee: Floats
    thresholds: Sequence[float]

    @property
    def predicted(self) -> Floats:
        return np.asarray(self.committee.mean(axis=0))

    @property
    def disagreement(self) -> Floats:
        return np.asarray(self.committee.std(axis=0))


class Policy(Protocol):
    """A small named strategy."""

    @property
    def name(self) -> str: ...

    def wish(self, view: View) -> Floats:
        """[n] positive numbers; the backtest scales them so that as many are asked as the round may buy."""


@dataclass(frozen=True)
class NearThreshold:
    """The stream's own router: high near a tier threshold, never below the audit's share."""

    margin: float = 1.0
    audit: float = 0.1
    name: str = "near threshold + audit"

    def wish(self, view: View) -> Floats:
        distance = np.min([np.abs(view.predicted - at) for at in view.thresholds], axis=0)
        reach = np.maximum(self.margin, view.disagreement)
        return np.asarray(np.maximum(self.audit, np.clip(1 - distance / reach, 0, 1)))


@dataclass(frozen=True)
class RandomisedUncertainty:
    """Uncertainty as the probability of acceptance instead of a ranking (M-RARS, arXiv 2511.11574).

    Departs from the paper in the measure: scores are numbers here, so the committee's spread replaces the
    entropy over classes.
    """

    floor: float = 0.1
    name: str = "uncertainty, randomised"

    def wish(self, view: View) -> Floats:
        spread = view.disagreement
        return np.asarray(self.floor + spread / max(1e-9, float(spread.max())))


@dataclass(frozen=True)
class Random:
    """Every article alike: what the others have to beat."""

    name: str = "random"

    def wish(self, view: View) -> Floats:
        return np.ones(view.committee.shape[1])


DEFAULT: tuple[Policy, ...] = (NearThreshold(), RandomisedUncertainty(), Random())


def scaled(wish: Floats, budget: int) -> Floats:
    """Probabilities proportional to `wish` whose sum is `budget`, none above 1."""
    if budget >= len(wish):
        return np.ones(len(wish))
    low, high = 0.0, float(len(wish) / wish.min())
    for _ in range(60):
        factor = (low + high) / 2
        if np.minimum(1, factor * wish).sum() > budget:
            high = factor
        else:
            low = factor
    return np.minimum(1, low * wish)
