"""`stillhouse quality`: how good the stream is, from labels that were asked for with known probabilities."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from core.scoring import weigh
from core.spec import FilterSpec
from offline.estimates import Estimate, weighted_mean, weighted_recall
from offline.stored import StoredLabel

GATE_AUDIT = "gate_audit"
"""Reason of labels whose filter the gate had closed (core/routing.py)."""


@dataclass(frozen=True)
class Quality:
    """Estimates of one filter version on one day, or on all days together (`day` None).

    mae: of the scorer, on articles that passed the gate. gate_recall: share of relevant articles that the gate
    let through. tier_recall: share of the articles that belong to a tier or higher which were placed there.
    None where no label can tell.
    """

    filter: str
    version: str
    day: date | None
    labels: int
    mae: Estimate | None
    gate_recall: Estimate | None
    tier_recall: Mapping[str, Estimate | None]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"day": self.day.isoformat() if self.day else None}


def live_quality(labels: Iterable[StoredLabel], specs: Mapping[tuple[str, str], FilterSpec]) -> list[Quality]:
    """By filter version: every day, then all days. Labels without a propensity (imports) say nothing about a stream."""
    groups: dict[tuple[str, str], list[StoredLabel]] = defaultdict(list)
    for label in labels:
        key = label.filter, label.version
        if label.propensity and label.weighted is not None and label.time and key in specs:
            groups[key].append(label)
    rows = []
    for key, group in sorted(groups.items()):
        by_day: dict[date, list[StoredLabel]] = defaultdict(list)
        for label in group:
            by_day[label.time.date() if label.time else date.min].append(label)
        rows += [estimate(specs[key], by_day[day], day) for day in sorted(by_day)]
        rows.append(estimate(specs[key], group, None))
    return rows


def estimate(spec: FilterSpec, labels: list[StoredLabel], day: date | None) -> Quality:
    propensity = np.array([label.propensity for label in labels], dtype=np.float64)
    predicted = np.array([label.weighted for label in labels], dtype=np.float64)
    truth = np.array([weigh(spec, label.scores).value for label in labels], dtype=np.float64)
    is_open = np.array([label.reason != GATE_AUDIT for label in labels])
    return Quality(
        filter=spec.name,
        version=spec.version,
        day=day,
        labels=len(labels),
        mae=weighted_mean(np.abs(predicted - truth)[is_open], propensity[is_open]),
        gate_recall=weighted_recall(is_open, truth >= spec.gate.relevant_at, propensity),
        tier_recall={
            tier.name: weighted_recall(is_open & (predicted >= tier.at_least), truth >= tier.at_least, propensity)
            for tier in spec.tiers
        },
    )
