"""Has the stream changed? The percentiles of a filter's verdicts against the reference they came from.

A percentile states where a weighted score lies among the filter's reference articles, so on a stream like
the reference the percentiles are uniform. The population stability index measures the departure:
below 0.1 none worth a look, above 0.2 the stream or the model has changed (the usual reading of PSI).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

BINS = 10
MIN_SAMPLE = 200
"""PSI of a uniform sample is about BINS / n: below 200 articles chance alone would reach 0.05."""


@dataclass
class DriftWindow:
    """Counts by decile that fade with a half-life of `half_life` articles: bounded, and recent."""

    half_life: int = 2_000
    _counts: list[float] = field(init=False, default_factory=lambda: [0.0] * BINS)

    def add(self, percentiles: Sequence[float]) -> None:
        fade = 0.5 ** (len(percentiles) / self.half_life)
        self._counts = [count * fade for count in self._counts]
        for percentile in percentiles:
            self._counts[min(BINS - 1, max(0, int(percentile * BINS / 100)))] += 1

    def stability_index(self) -> float | None:
        """PSI, None while fewer than `MIN_SAMPLE` articles were seen."""
        total = sum(self._counts)
        if total < MIN_SAMPLE:
            return None
        expected = 1 / BINS
        # Half an article per bin keeps the logarithm finite where a decile is empty.
        shares = [(count + 0.5) / (total + 0.5 * BINS) for count in self._counts]
        return math.fsum((share - expected) * math.log(share / expected) for share in shares)
