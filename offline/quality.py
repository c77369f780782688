"""`stillhouse quality`: how good the stream is, from labels that were asked for with known probabilities."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from core.estimates import Estimate
from core.quality import figures
from core.spec import FilterSpec
from offline.stored import StoredLabel


@dataclass(frozen=True)
class Quality:
    """Estimates of one filter version on one day, or on all days together (`day` None): see core.quality.Figures."""

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
    found = figures(spec, labels)
    return Quality(
        filter=spec.name,
        version=spec.version,
        day=day,
        labels=found.labels,
        mae=found.mae,
        gate_recall=found.gate_recall,
        tier_recall=found.tier_recall,
    )
