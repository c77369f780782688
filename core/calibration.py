"""What turns a model's raw output into a score one can act on: calibration, interval, percentile, gate.

The fits live in offline; these are the frozen results, read from JSON in a filter package.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Stage = Literal["probe", "scorer"]
STAGES: tuple[Stage, Stage] = ("probe", "scorer")
Floats = NDArray[np.float32] | NDArray[np.float64]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def hundredths(value: float) -> float:
    """Rounded to 2 decimals, halves to the even one: as numpy.rint does for arrays, where round(value, 2) differs."""
    return round(value * 100) / 100


class Curve(_Frozen):
    """A monotone piecewise linear function through (x, y), flat outside."""

    x: tuple[float, ...] = Field(min_length=1)
    y: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _same_length_and_sorted(self) -> "Curve":
        if len(self.x) != len(self.y) or any(a >= b for a, b in zip(self.x, self.x[1:], strict=False)):
            raise ValueError("x and y need equal length, and x must increase strictly")
        return self

    def __call__(self, value: float) -> float:
        """As numpy.interp, to the bit, in a tenth of its time for one value."""
        x, y = self.x, self.y
        above = bisect_right(x, value)
        if above == 0:
            return y[0]
        if above == len(x):
            return y[-1]
        at = above - 1
        if value == x[at]:
            return y[at]
        return (y[above] - y[at]) / (x[above] - x[at]) * (value - x[at]) + y[at]


class Calibration(_Frozen):
    """Isotonic curves by stage and dimension. A stage without curves is passed through (clamped only)."""

    scorer: Mapping[str, Curve] = {}
    probe: Mapping[str, Curve] = {}

    def curves(self, stage: Stage) -> Mapping[str, Curve]:
        return self.scorer if stage == "scorer" else self.probe

    def apply(self, stage: Stage, dimensions: Sequence[str], raw: Floats) -> dict[str, float]:
        """Calibrated scores on 0-10, rounded to 2 decimals.

        Args:
            raw: [dimensions] output of the head on the oracle's scale.
        """
        curves = self.curves(stage)
        scores = {}
        for name, value in zip(dimensions, map(float, raw), strict=True):
            curve = curves.get(name)
            scores[name] = hundredths(min(10.0, max(0.0, curve(value) if curve else value)))
        return scores


class ConformalBand(_Frozen):
    """Normalised conformal interval of the weighted score.

    Half-widths are `lower` and `upper` times the article's difficulty: `sigma(weighted)` plus `disagreement`
    times |scorer - probe|. (Lei et al. 2018, locally weighted split conformal, with one quantile per side.)
    """

    sigma: Curve
    disagreement: float = Field(default=0, ge=0)
    lower: float = Field(ge=0)
    upper: float = Field(ge=0)

    def interval(self, weighted: float, gap: float) -> tuple[float, float]:
        """90% interval around a weighted score; `gap` is |scorer - probe| of the weighted scores."""
        difficulty = self.sigma(weighted) + self.disagreement * gap
        low = max(0.0, weighted - self.lower * difficulty)
        high = min(10.0, weighted + self.upper * difficulty)
        return hundredths(low), hundredths(high)


class Intervals(_Frozen):
    """Bands by stage; None where no calibration data allowed one."""

    scorer: ConformalBand | None = None
    probe: ConformalBand | None = None

    def band(self, stage: Stage) -> ConformalBand | None:
        return self.scorer if stage == "scorer" else self.probe


class Normalisation(_Frozen):
    """Percentile of a weighted score among the filter's own reference articles.

    Below `min_sample` reference articles no percentile is given at all: a fit on 24 articles once put a
    casino advertisement at 9.17.
    """

    sample: int = Field(ge=0)
    min_sample: int = Field(default=300, ge=1)
    quantiles: Curve | None = None

    @property
    def known(self) -> bool:
        return self.quantiles is not None and self.sample >= self.min_sample

    def percentile(self, weighted: float) -> float | None:
        if self.quantiles is None or not self.known:
            return None
        return round(self.quantiles(weighted) * 10) / 10


class Gate(_Frozen):
    """The probe's certified threshold. `threshold` None means that the gate stays open for this filter.

    `miss_rate_upper95` is the one-sided 95% Clopper-Pearson bound of the miss rate on `positives` held-out
    relevant articles.
    """

    threshold: float | None = None
    positives: int = 0
    misses: int = 0
    miss_rate_upper95: float | None = None
    closed_share: float = 0.0
    note: str = ""

    def is_open(self, gate_score: float) -> bool:
        """True if the scorer should see the article."""
        return self.threshold is None or gate_score >= self.threshold
