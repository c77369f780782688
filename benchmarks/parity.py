"""How far an engine's calibrated scores are from the reference's, and whether a tier changes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.package import FilterPackage
from core.scoring import weigh

MEAN_BOUND, MAX_BOUND, TIER_BAND = 0.05, 0.3, 0.05
"""On the 0-10 scale. Within TIER_BAND of a threshold either tier is right."""

Outputs = Sequence[Mapping[str, NDArray[np.float32]]]


def tolerance() -> dict[str, float]:
    return {"mean": MEAN_BOUND, "max": MAX_BOUND, "tier_band": TIER_BAND}


def compare(packages: Mapping[str, FilterPackage], outputs: Outputs, reference: Outputs) -> dict[str, Any]:
    """Differences over all articles, filters and dimensions after calibration; tiers that differ outside the band."""
    differences: list[float] = []
    tiers = 0
    for ours, theirs in zip(outputs, reference, strict=True):
        for name, package in packages.items():
            spec, calibration = package.spec, package.calibration
            found = calibration.apply("scorer", spec.dimension_names, ours[name])
            expected = calibration.apply("scorer", spec.dimension_names, theirs[name])
            differences += [abs(found[dimension] - expected[dimension]) for dimension in spec.dimension_names]
            a, b = weigh(spec, found), weigh(spec, expected)
            near = any(abs(b.value - tier.at_least) <= TIER_BAND for tier in spec.tiers)
            tiers += a.tier != b.tier and not near
    return {
        "mean": round(float(np.mean(differences)), 4),
        "max": round(float(np.max(differences)), 4),
        "p99": round(float(np.quantile(differences, 0.99)), 4),
        "tiers_changed": tiers,
    }
