"""From calibrated dimension scores to weighted score, gatekeeper cap and tier."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.calibration import hundredths
from core.spec import FilterSpec

LOWEST_TIER = "low"
"""Tier of articles that reach none of the filter's own tiers."""


@dataclass(frozen=True, slots=True)
class WeightedScore:
    """`value` is on 0-10 after the cap; `gatekeeper` names the dimension that capped it."""

    value: float
    tier: str
    gatekeeper: str | None


def weigh(spec: FilterSpec, scores: Mapping[str, float]) -> WeightedScore:
    """Weighted score, capped by the gatekeepers. Uses the rounded scores, so a reader can check the sum."""
    value = 0.0
    for dimension in spec.dimensions:  # sum() adds otherwise from Python 3.12 on
        value += dimension.weight * scores[dimension.name]
    capped_by = None
    for gatekeeper in spec.gatekeepers:
        if scores[gatekeeper.dimension] < gatekeeper.below and value > gatekeeper.cap:
            value, capped_by = gatekeeper.cap, gatekeeper.dimension
    value = hundredths(value)
    return WeightedScore(value=value, tier=tier_of(spec, value), gatekeeper=capped_by)


def tier_of(spec: FilterSpec, weighted: float) -> str:
    """Name of the highest tier that the weighted score reaches."""
    for tier in spec.tiers:
        if weighted >= tier.at_least:
            return tier.name
    return LOWEST_TIER
