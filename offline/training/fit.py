"""What is a filter's own, fitted on cached features: head, probe, curves, gate, bands. Seconds per filter."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.calibration import Calibration, Gate, Intervals, Normalisation
from core.spec import FilterSpec
from models.heads import Perceptron
from offline.calibration import (
    apply_curves,
    fit_band,
    fit_curves,
    fit_gate,
    fit_normalisation,
    out_of_fold,
)
from offline.dataset import Array
from offline.metrics import ranking
from offline.predictions import Learned
from offline.training.linear import Standard, apply, blend, fit_logistic, fit_ridge, on_columns, stack
from offline.training.networks import fit_scores
from offline.training.targets import weighted_scores

_ALPHA = 1.0
_PROBE_ALPHA = 0.1
_PROBE_C = 0.02
_MIN_BAND = 40
_POSITIVE_WEIGHT = 4.0
"""Relevant articles in the gate's loss: a miss costs more than a needless pass."""


@dataclass(frozen=True)
class FilterData:
    """One filter's labelled articles.

    features: [n, state + embedding]; the first `state_width` columns are the trunk's state (0: no trunk).
    weights: [n] importance in fits and in calibration. train, val, test: row numbers. groups: near-duplicates.
    """

    spec: FilterSpec
    ids: tuple[str, ...]
    features: Array
    state_width: int
    truth: Array
    weights: Array
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def embeddings(self) -> Array:
        return self.features[:, self.state_width :]

    @property
    def oracle(self) -> Array:
        return weighted_scores(self.spec, self.truth)

    @property
    def relevant(self) -> NDArray[np.bool_]:
        return np.asarray(self.oracle >= self.spec.gate.relevant_at)


@dataclass(frozen=True)
class Fitted:
    """Everything of a package that is learned. `choice` says which head won and by what."""

    head: Perceptron
    probe: Perceptron
    calibration: Calibration
    intervals: Intervals
    gate: Gate
    normalisation: Normalisation
    choice: dict[str, float | str]

    def learned(self, spec: FilterSpec) -> Learned:
        return Learned(spec, self.head, self.probe, self.calibration, self.intervals, self.gate)


def fit_filter(data: FilterData, joint: Perceptron | None) -> Fitted:
    """Args: joint: this filter's head of the joint training, if the trunk brought one."""
    head, choice = choose_head(data, joint)
    known = np.concatenate([data.train, data.val])
    probe_raw = out_of_fold(len(known), lambda fit, rest: _probe_outputs(data, known[fit], known[rest]))
    gate = fit_gate(_sigmoid(probe_raw[:, -1]), data.relevant[known], data.spec.gate.max_miss_rate)
    probe_curves = fit_curves(data.spec, probe_raw[:, :-1], data.truth[known], data.weights[known])
    val_raw = apply(head, data.features[data.val])
    curves = fit_curves(data.spec, val_raw, data.truth[data.val], data.weights[data.val])
    probe_weighted = _weighted(data.spec, probe_curves, probe_raw[:, :-1])
    closed = _sigmoid(probe_raw[:, -1]) < gate.threshold if gate.threshold else np.zeros(len(known), bool)
    in_val = len(data.train)
    weighted = _unseen_weighted(data, val_raw)
    gap = np.abs(weighted - probe_weighted[in_val:])
    # The scorer only sees what the gate lets through, which is harder than the rest.
    seen = ~closed[in_val:] if (~closed[in_val:]).sum() >= _MIN_BAND else np.ones(len(data.val), bool)
    scorer_band = fit_band(weighted[seen], gap[seen], data.oracle[data.val][seen])
    probe_band = fit_band(probe_weighted[closed], np.zeros(int(closed.sum())), data.oracle[known][closed])
    predictions = _weighted(data.spec, curves, apply(head, data.features[known]))
    return Fitted(
        head=head,
        probe=_fit_probe(data, known),
        calibration=Calibration(scorer=curves, probe=probe_curves),
        intervals=Intervals(scorer=scorer_band, probe=probe_band),
        gate=gate,
        normalisation=fit_normalisation(predictions),
        choice=choice,
    )


def choose_head(data: FilterData, joint: Perceptron | None) -> tuple[Perceptron, dict[str, float | str]]:
    """The candidate with the least validation error and the best ranking of relevant articles."""
    results = []
    for name, head in _candidates(data, joint):
        weighted = _unseen_weighted(data, apply(head, data.features[data.val]))
        found = ranking(weighted, data.oracle[data.val], data.spec.gate.relevant_at)
        cost = found["mae"] / max(1e-6, float(data.oracle[data.val].std())) - found.get("average_precision", 0.0)
        results.append((cost, name, head, found))
    _, name, head, found = min(results, key=lambda result: (result[0], result[1]))
    return head, {"head": name, **{f"val_{key}": round(value, 4) for key, value in found.items()}}


def _candidates(data: FilterData, joint: Perceptron | None) -> Iterator[tuple[str, Perceptron]]:
    train, width = data.train, data.state_width
    standard = Standard.of(data.features[train])
    encoder = slice(width, data.features.shape[1])
    floor = on_columns(
        fit_ridge(Standard.of(data.embeddings[train]), data.embeddings[train], data.truth[train], data.weights[train],
                  _PROBE_ALPHA),
        standard, encoder,
    )  # fmt: skip
    if not width:
        yield "encoder ridge", floor
        return
    rows = (data.features[train], data.truth[train], data.weights[train])
    networks, ridge = fit_scores(standard, *rows), fit_ridge(standard, *rows, _ALPHA)
    yield "ridge", ridge
    yield "networks", networks
    both = blend([(networks, 0.5), (ridge, 0.5)])
    yield "networks + ridge", both
    yield "networks + ridge, .15 of encoder ridge", blend([(both, 0.85), (floor, 0.15)])
    if joint is not None:
        moved = on_columns(joint, standard, slice(0, data.features.shape[1]))
        yield "networks + joint", blend([(networks, 0.5), (moved, 0.5)])


def _unseen_weighted(data: FilterData, val_raw: Array) -> Array:
    """Calibrated weighted scores of the validation rows, each with curves that have not seen it."""
    truth, weights = data.truth[data.val], data.weights[data.val]

    def fit_predict(fit: NDArray[np.int64], rest: NDArray[np.int64]) -> Array:
        curves = fit_curves(data.spec, val_raw[fit], truth[fit], weights[fit])
        return _weighted(data.spec, curves, val_raw[rest])

    return out_of_fold(len(val_raw), fit_predict)


def _weighted(spec: FilterSpec, curves: dict, raw: Array) -> Array:  # type: ignore[type-arg]
    return weighted_scores(spec, apply_curves(spec, curves, raw))


def _probe_outputs(data: FilterData, fit: NDArray[np.int64], rest: NDArray[np.int64]) -> Array:
    return apply(_fit_probe(data, fit), data.embeddings[rest])


def _fit_probe(data: FilterData, rows: NDArray[np.int64]) -> Perceptron:
    """One output per dimension, then the gate's logit."""
    x, weights = data.embeddings[rows], data.weights[rows]
    standard = Standard.of(x)
    dimensions = fit_ridge(standard, x, data.truth[rows], weights, _PROBE_ALPHA)
    relevant = data.relevant[rows]
    if relevant.any() and not relevant.all():
        gate = fit_logistic(standard, x, relevant, weights * np.where(relevant, _POSITIVE_WEIGHT, 1.0), _PROBE_C)
    else:
        gate = standard.head(np.zeros((1, x.shape[1])), np.zeros(1))
    return stack(dimensions, gate)


def _sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))
