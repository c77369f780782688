"""How good the stream is, from labels that were asked for with known probabilities.

`stillhouse quality` reads them from the label store, the board from its history: one definition for both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.estimates import Estimate, weighted_mean, weighted_recall
from core.scoring import weigh
from core.spec import FilterSpec

GATE_AUDIT = "gate_audit"
"""Reason of labels whose filter the gate had closed (core/routing.py)."""


class Label(Protocol):
    """One oracle's scores for one article and filter, beside the weighted score that the stream had given."""

    @property
    def scores(self) -> Mapping[str, float]: ...
    @property
    def weighted(self) -> float | None: ...
    @property
    def propensity(self) -> float | None: ...
    @property
    def reason(self) -> str | None: ...


@dataclass(frozen=True)
class Figures:
    """Estimates for the whole stream of one filter version.

    mae: of the scorer, on articles that passed the gate. gate_recall: share of relevant articles that the gate
    let through. tier_recall: share of the articles that belong to a tier or higher which were placed there.
    None where no label can tell.
    """

    labels: int
    mae: Estimate | None
    gate_recall: Estimate | None
    tier_recall: Mapping[str, Estimate | None]


def figures(spec: FilterSpec, labels: Sequence[Label]) -> Figures:
    """Figures from `labels`, each of which has a propensity and a prediction."""
    propensity = np.array([label.propensity for label in labels], dtype=np.float64)
    predicted = np.array([label.weighted for label in labels], dtype=np.float64)
    truth = np.array([weigh(spec, label.scores).value for label in labels], dtype=np.float64)
    is_open = np.array([label.reason != GATE_AUDIT for label in labels], dtype=bool)
    return Figures(
        labels=len(labels),
        mae=weighted_mean(np.abs(predicted - truth)[is_open], propensity[is_open]),
        gate_recall=weighted_recall(is_open, truth >= spec.gate.relevant_at, propensity),
        tier_recall={
            tier.name: weighted_recall(is_open & (predicted >= tier.at_least), truth >= tier.at_least, propensity)
            for tier in spec.tiers
        },
    )
