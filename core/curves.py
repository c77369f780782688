"""Many calibration curves evaluated in a handful of array operations."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.calibration import Curve

Numbers = NDArray[np.float64]


class Curves:
    """Curves in an array of any shape; a missing one passes its value through."""

    def __init__(self, curves: Sequence[Curve | None], shape: tuple[int, ...]) -> None:
        knots, count = max(len(curve.x) if curve else 1 for curve in curves), len(curves)
        x, y, slope = (np.full((knots, count), fill) for fill in (np.inf, 0.0, 0.0))
        first, last = np.full(count, -np.inf), np.full(count, np.inf)
        for at, curve in enumerate(curves):
            if curve is None:
                x[0, at], slope[0, at] = 0, 1
                continue
            size, first[at], last[at] = len(curve.x), curve.x[0], curve.x[-1]
            x[:size, at], y[:size, at] = curve.x, curve.y
            slope[: size - 1, at] = np.diff(curve.y) / np.diff(curve.x)
        self._first, self._last = first.reshape(shape), last.reshape(shape)
        self._knots = x.reshape(knots, 1, *shape)
        self._tables = x.ravel(), y.ravel(), slope.ravel()
        self._columns = np.arange(count).reshape(shape)

    def __call__(self, values: Numbers) -> Numbers:
        """[n, *shape], each value through its own curve: as Curve, to the bit."""
        inside = np.clip(values, self._first, self._last)
        reached = (self._knots <= inside).view(np.uint8).sum(0, dtype=np.uint16)
        place = (np.maximum(reached, 1) - 1) * np.intp(self._columns.size) + self._columns
        x, y, slope = (table[place] for table in self._tables)
        found: Numbers = slope * (inside - x) + y
        return found
