"""What a package answers for articles whose features are known: the same arithmetic as core/cascade.py."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.calibration import Calibration, Gate, Intervals, Stage
from core.scoring import weigh
from core.spec import FilterSpec
from models.heads import Perceptron, sigmoid
from offline.dataset import Array


@dataclass(frozen=True)
class Learned:
    """The learned parts of one filter version."""

    spec: FilterSpec
    head: Perceptron
    probe: Perceptron
    calibration: Calibration
    intervals: Intervals
    gate: Gate


@dataclass(frozen=True)
class Predictions:
    """Row by article. scores: [n, dimensions]; weighted, low, high: [n]; closed: answered by the probe alone."""

    scores: Array
    weighted: Array
    low: Array
    high: Array
    closed: NDArray[np.bool_]


def predict(learned: Learned, features: Array, state_width: int, gates: bool) -> Predictions:
    """Args: gates: let the probe answer where the gate is closed, as the stream does."""
    rows = [_one(learned, row, state_width, gates) for row in features]
    scores, weighted, low, high, closed = zip(*rows, strict=True)
    return Predictions(
        scores=np.array(scores, dtype=np.float32),
        weighted=np.array(weighted, dtype=np.float32),
        low=np.array(low, dtype=np.float32),
        high=np.array(high, dtype=np.float32),
        closed=np.array(closed),
    )


def _one(learned: Learned, x: Array, state_width: int, gates: bool) -> tuple[list[float], float, float, float, bool]:
    spec, names = learned.spec, learned.spec.dimension_names
    probe = learned.probe(x[state_width:])
    closed = gates and not learned.gate.is_open(sigmoid(float(probe[-1])))
    probe_scores = learned.calibration.apply("probe", names, probe[:-1])
    probe_weighted = weigh(spec, probe_scores).value
    stage: Stage = "probe" if closed else "scorer"
    scores = probe_scores if closed else learned.calibration.apply("scorer", names, learned.head(x))
    weighted = weigh(spec, scores).value
    band = learned.intervals.band(stage)
    low, high = band.interval(weighted, abs(weighted - probe_weighted)) if band else (float("nan"), float("nan"))
    return [scores[name] for name in names], weighted, low, high, closed
