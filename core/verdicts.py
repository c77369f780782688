"""Raw outputs of a batch to verdicts: calibration, weighted score, cap, tier, interval, percentile, and whom to ask.

Arrays are [articles, stage, filters, dimensions], padded where filters differ. Every operation is elementwise, so a
verdict does not depend on its batch (docs/decisions/0001), and six filters cost little more than one. What a filter
says of one article is defined by core/calibration.py and core/scoring.py; tests/property/test_verdicts.py holds the two
equal to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.calibration import STAGES
from core.curves import Curves, Numbers
from core.errors import StillhouseError
from core.messages import FilterResult, OracleAsk
from core.package import FilterPackage
from core.routing import Policies, Reason
from core.scoring import LOWEST_TIER
from core.spec import FilterSpec

Vector = NDArray[np.float32]

_REASONS: tuple[Reason | None, ...] = (None, "audit", "near_threshold", "gate_audit")
_SHOWN = np.array([None, "audit", "near_threshold", "audit"], dtype=object)
"""What a scored record says of each reason."""


class Raw(NamedTuple):
    """What the models said of one article. Per filter: the probe's gate score and output [dimensions], and the
    scorer's output, or None where the filter is closed."""

    article_id: str
    gates: Sequence[float]
    probe: Sequence[Vector]
    scorer: Sequence[Vector | None]


class Verdict(NamedTuple):
    """By filter name. `asks`: what the oracle is to be asked."""

    results: dict[str, FilterResult]
    asks: dict[str, OracleAsk]


@dataclass(frozen=True, slots=True)
class _Words:
    """A filter's words. `tiers` from the lowest; `keepers`: the dimension that caps, by its place from 1 on."""

    name: str
    version: str
    dimensions: tuple[str, ...]
    tiers: tuple[str, ...]
    keepers: tuple[str | None, ...]

    @classmethod
    def of(cls, spec: FilterSpec) -> "_Words":
        tiers = (LOWEST_TIER, *(tier.name for tier in reversed(spec.tiers)))
        return cls(
            spec.name, spec.version, spec.dimension_names, tiers, (None, *(g.dimension for g in spec.gatekeepers))
        )


class _Bands:
    """Conformal bands by stage and filter; where there is none, its limits are not numbers."""

    def __init__(self, packages: Sequence[FilterPackage]) -> None:
        shape = len(STAGES), len(packages)
        bands = [package.intervals.band(stage) for stage in STAGES for package in packages]
        self._sigma = Curves([band.sigma if band else None for band in bands], shape)
        numbers = [(b.disagreement, b.lower, b.upper) if b else (0, np.nan, np.nan) for b in bands]
        self._disagreement, self._lower, self._upper = np.array(numbers, dtype=np.float64).T.reshape(3, *shape)

    def __call__(self, value: Numbers, gap: Numbers) -> tuple[Numbers, Numbers]:
        difficulty = self._sigma(value) + self._disagreement * gap
        low = np.maximum(0.0, value - self._lower * difficulty)
        return _rounded(low, 100), _rounded(np.minimum(10.0, value + self._upper * difficulty), 100)


class VerdictTable:
    """The numbers of all filters of a release set, side by side."""

    def __init__(self, packages: Sequence[FilterPackage]) -> None:
        specs = [package.spec for package in packages]
        self._words = [_Words.of(spec) for spec in specs]
        self._filled = _filled([len(spec.dimensions) for spec in specs])
        self._silent = [np.zeros(len(spec.dimensions), dtype=np.float32) for spec in specs]
        self._weights = np.zeros(self._filled.shape)
        self._weights[self._filled] = np.concatenate([spec.weights for spec in specs])
        self._calibrate = _calibration(packages, self._filled.shape[1])
        self._keepers = _gatekeepers(specs)
        self._bands = _Bands(packages)
        reference = [package.normalisation for package in packages]
        self._percentile = Curves([one.quantiles for one in reference], (len(specs),))
        self._known = np.array([1.0 if one.known else np.nan for one in reference])
        self._policies = Policies.of(specs)
        self._gates = np.array([-np.inf if p.gate.threshold is None else p.gate.threshold for p in packages])

    def verdicts(self, batch: Sequence[Raw], gates: bool) -> list[Verdict]:
        """Args: gates: False where filters are scored whatever their gate says, and none counts as audited."""
        if not batch:
            return []
        scored = np.array([output is not None for raw in batch for output in raw.scorer]).reshape(len(batch), -1)
        scores = self._scores(batch)
        value, keeper = self._weigh(scores)
        gap = np.abs(value - value[:, :1])
        low, high = self._bands(value, gap)
        scores, value, keeper, gap, low, high = (
            np.where(scored.reshape(scored.shape + (1,) * (a.ndim - 3)), a[:, 1], a[:, 0])
            for a in (scores, value, keeper, gap, low, high)
        )
        propensity = self._policies.propensity(value, (low, high), gap)
        reason = (self._policies.draws([raw.article_id for raw in batch]) < propensity) * (
            1 + (propensity > self._policies.audit_rate)
        )
        if gates:
            audited = np.array([raw.gates for raw in batch]) < self._gates
            reason = np.where(audited, 3, reason)
            propensity = np.where(audited, self._policies.audit_rate, propensity)
        percentile = _rounded(self._percentile(value), 10) * self._known
        tier = (value[..., None] >= self._policies.thresholds).sum(-1)
        shown = _SHOWN[reason * scored]
        results = self._results(scores, scored, value, low, high, tier, keeper, percentile, shown)
        found = [Verdict(result, {}) for result in results]
        asked = np.nonzero(reason * scored)
        chosen = (column[asked].tolist() for column in (reason, propensity, value))
        for row, column, why, chance, weighted in zip(*(places.tolist() for places in asked), *chosen, strict=True):
            words = self._words[column]
            found[row].asks[words.name] = OracleAsk(words.version, _REASONS[why], chance, weighted, "scorer")
        return found

    def _scores(self, batch: Sequence[Raw]) -> Numbers:
        """Calibrated scores [n, stage, filter, dimension]; those of a closed filter's scorer mean nothing."""
        vectors: list[Vector] = []
        for raw in batch:
            vectors += raw.probe
            vectors += [s if s is not None else silent for s, silent in zip(raw.scorer, self._silent, strict=True)]
        found = np.concatenate(vectors)
        if not np.isfinite(found).all():
            raise StillhouseError("A model's output is not a number.", action="Run `stillhouse filters check`.")
        padded = np.zeros((len(batch), len(STAGES), *self._filled.shape))
        padded[:, :, self._filled] = found.reshape(len(batch), len(STAGES), -1)
        return _rounded(np.clip(self._calibrate(padded), 0, 10), 100)

    def _weigh(self, scores: Numbers) -> tuple[Numbers, NDArray[Any]]:
        """Weighted scores and the places of the gatekeepers that capped them, [n, stage, filter]."""
        value = np.zeros(scores.shape[:-1])
        for weight, score in zip(self._weights.T, np.moveaxis(scores, -1, 0), strict=True):
            value += weight * score
        keeper = np.zeros(value.shape, dtype=np.intp)
        for place, (dimension, below, cap) in enumerate(self._keepers, 1):
            capped = (scores[:, :, np.arange(len(dimension)), dimension] < below) & (value > cap)
            value, keeper = np.where(capped, cap, value), np.where(capped, place, keeper)
        return _rounded(value, 100), keeper

    def _results(self, scores: Numbers, *columns: NDArray[Any]) -> list[dict[str, FilterResult]]:
        """By article and filter. `columns` are [n, filters]; all articles' filters are made in one loop."""
        words = self._words * len(scores)
        named = map(dict, map(zip, (one.dimensions for one in words), scores.reshape(len(words), -1).tolist()))
        found = [
            FilterResult(
                one.version,
                STAGES[scored],
                dimensions,
                value,
                (low, high) if low == low else None,  # NaN differs from itself
                one.tiers[tier],
                one.keepers[keeper],
                percentile if percentile == percentile else None,
                shown,
            )
            for one, dimensions, scored, value, low, high, tier, keeper, percentile, shown in zip(
                words, named, *(column.ravel().tolist() for column in columns), strict=True
            )
        ]
        names, filters = [one.name for one in self._words], len(self._words)
        return [dict(zip(names, found[at : at + filters], strict=True)) for at in range(0, len(found), filters)]


def _rounded(values: Numbers, steps: int) -> Numbers:
    """To 1/steps, halves to the even one; 0 has no sign."""
    rounded: Numbers = np.rint(values * steps) / steps + 0.0
    return rounded


def _filled(sizes: Sequence[int]) -> NDArray[np.bool_]:
    """[filters, dimensions]: True where a filter has that dimension."""
    filled: NDArray[np.bool_] = np.arange(max(sizes)) < np.array(sizes)[:, None]
    return filled


def _calibration(packages: Sequence[FilterPackage], width: int) -> Curves:
    curves = []
    for stage in STAGES:
        for package in packages:
            names, found = package.spec.dimension_names, package.calibration.curves(stage)
            curves += [found.get(name) for name in names] + [None] * (width - len(names))
    return Curves(curves, (len(STAGES), len(packages), width))


def _gatekeepers(specs: Sequence[FilterSpec]) -> list[tuple[NDArray[np.intp], Numbers, Numbers]]:
    """The first gatekeeper of every filter, then the second, and so on: dimension, below and cap, [filters] each."""
    most = max(len(spec.gatekeepers) for spec in specs)
    dimension = np.zeros((most, len(specs)), dtype=np.intp)
    below, cap = np.full((most, len(specs)), -np.inf), np.zeros((most, len(specs)))
    for column, spec in enumerate(specs):
        for place, keeper in enumerate(spec.gatekeepers):
            dimension[place, column] = spec.dimension_names.index(keeper.dimension)
            below[place, column], cap[place, column] = keeper.below, keeper.cap
    return list(zip(dimension, below, cap, strict=True))
