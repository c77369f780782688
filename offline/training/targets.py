"""What the trunk learns: every filter's dimensions, its weighted score, and whether it reaches 1, 2 and 4 points.

The ordinal targets (Cao et al. 2020, without their shared weights) keep the few relevant articles from being
averaged away; the weighted score is what tiers and metrics are computed from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from core.spec import FilterSpec
from offline.dataset import Array, Rated

LEVELS = (1.0, 2.0, 4.0)
MIN_SCALE = 0.75
"""Floor of a dimension's standard deviation: needle dimensions vary little, and noise must not be blown up."""
_HUBER_DELTA = 2.0
_ORDINAL_SHARE = 0.3
_WEIGHTED_SHARE = 1.0
_RELEVANT_BOOST = 2.0


@dataclass(frozen=True)
class Block:
    """Columns of one filter among the outputs: dimensions, then the weighted score, then one logit per level."""

    spec: FilterSpec
    start: int

    @property
    def dims(self) -> slice:
        return slice(self.start, self.start + len(self.spec.dimensions))

    @property
    def weighted(self) -> int:
        return self.start + len(self.spec.dimensions)

    @property
    def end(self) -> int:
        return self.weighted + 1 + len(LEVELS)

    @property
    def levels(self) -> slice:
        return slice(self.weighted + 1, self.weighted + 1 + len(LEVELS))


def blocks(specs: Sequence[FilterSpec]) -> list[Block]:
    result, start = [], 0
    for spec in specs:
        result.append(Block(spec, start))
        start = result[-1].end
    return result


def width(parts: Sequence[Block]) -> int:
    return parts[-1].end


@dataclass(frozen=True)
class Targets:
    """values: [articles, outputs], NaN where unlabelled, dimensions and weighted scores standardised.

    weights: [articles, filters]. mean, scale: [outputs], 0 and 1 for logits.
    """

    parts: list[Block]
    values: Tensor
    weights: Tensor
    mean: Tensor
    scale: Tensor

    def to(self, device: torch.device) -> "Targets":
        moved = (part.to(device) for part in (self.values, self.weights, self.mean, self.scale))
        return Targets(self.parts, *moved)

    def restore(self, outputs: Tensor) -> Tensor:
        """Predictions back on the oracle's scale."""
        return outputs * self.scale + self.mean


def weighted_scores(spec: FilterSpec, scores: Array) -> Array:
    """[n] weighted scores after the gatekeepers' cap: core.scoring.weigh for many rows at once."""
    clipped = np.clip(scores, 0, 10).astype(np.float64)
    value = clipped @ np.array(spec.weights)
    for gatekeeper in spec.gatekeepers:
        column = clipped[:, spec.dimension_names.index(gatekeeper.dimension)]
        value = np.where((column < gatekeeper.below) & (value > gatekeeper.cap), gatekeeper.cap, value)
    rounded: Array = np.round(value, 2).astype(np.float32)
    return rounded


def build_targets(
    ids: Sequence[str],
    rated: Sequence[tuple[FilterSpec, Rated]],
    importance: Mapping[str, float],
    fit_on: set[str],
) -> Targets:
    """Args:
    importance: factor by article id (default 1), for example to keep screened articles from dominating.
    fit_on: ids whose labels give mean and scale (the training side).
    """
    parts = blocks([spec for spec, _ in rated])
    place = {name: row for row, name in enumerate(ids)}
    values = np.full((len(ids), width(parts)), np.nan, dtype=np.float32)
    weights = np.zeros((len(ids), len(parts)), dtype=np.float32)
    mean = np.zeros(width(parts), dtype=np.float32)
    scale = np.ones(width(parts), dtype=np.float32)
    for column, (part, (spec, labels)) in enumerate(zip(parts, rated, strict=True)):
        rows = np.array([place[name] for name in labels.ids])
        total = weighted_scores(spec, labels.scores)
        raw = np.concatenate([labels.scores, total[:, None]], axis=1)
        fit = np.array([name in fit_on for name in labels.ids])
        span = slice(part.start, part.weighted + 1)
        mean[span] = raw[fit].mean(0)
        scale[span] = np.maximum(raw[fit].std(0), MIN_SCALE)
        values[rows, span] = (raw - mean[span]) / scale[span]
        values[rows, part.levels] = total[:, None] >= np.array(LEVELS)
        trust = labels.annotators / (labels.annotators + 0.25) * labels.weights
        boost = 1 + _RELEVANT_BOOST * np.clip(total / 4, 0, 1)
        factors = np.array([importance.get(name, 1.0) for name in labels.ids])
        weights[rows, column] = trust * boost * factors
    return Targets(parts, *map(torch.from_numpy, (values, weights, mean, scale)))


def loss(outputs: Tensor, targets: Targets, rows: Tensor) -> Tensor:
    """Sum over articles (not their mean: micro-batches of one step add up)."""
    values, weights = targets.values[rows], targets.weights[rows]
    total = outputs.new_zeros(())
    for column, part in enumerate(targets.parts):
        known = ~values[:, part.weighted].isnan()
        if not known.any():
            continue
        # Only this filter's columns: a gradient of zero through another filter's NaN would still be NaN.
        truth, guess = values[known, part.start : part.end], outputs[known, part.start : part.end]
        count = len(part.spec.dimensions)
        distance = F.huber_loss(guess[:, : count + 1], truth[:, : count + 1], reduction="none", delta=_HUBER_DELTA)
        logits = F.binary_cross_entropy_with_logits(guess[:, count + 1 :], truth[:, count + 1 :], reduction="none")
        each = distance[:, :count].mean(1) + _WEIGHTED_SHARE * distance[:, count]
        total = total + (weights[known, column] * (each + _ORDINAL_SHARE * logits.sum(1))).sum()
    return total
