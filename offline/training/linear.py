"""Weighted ridge and logistic heads, and blends of heads, all as one Perceptron over standardised features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.heads import Perceptron
from offline.dataset import Array


@dataclass(frozen=True)
class Standard:
    """Feature statistics that all heads of one filter share: x -> (x - center) / scale."""

    center: Array
    scale: Array

    @classmethod
    def of(cls, features: Array) -> "Standard":
        return cls(features.mean(0), np.maximum(features.std(0), 1e-6))

    def __call__(self, features: Array) -> Array:
        return ((features - self.center) / self.scale).astype(np.float32)

    def head(self, skip: Array, bias: Array) -> Perceptron:
        """A linear head over these features."""
        width, outputs = len(self.center), len(bias)
        return Perceptron(
            center=self.center.astype(np.float32),
            scale=self.scale.astype(np.float32),
            skip=np.ascontiguousarray(skip, dtype=np.float32),
            bias=np.asarray(bias, dtype=np.float32),
            hidden=np.zeros((0, width), dtype=np.float32),
            hidden_bias=np.zeros(0, dtype=np.float32),
            out=np.zeros((outputs, 0), dtype=np.float32),
        )


def fit_ridge(standard: Standard, features: Array, targets: Array, weights: Array, alpha: float) -> Perceptron:
    """Weighted least squares with an L2 penalty of `alpha` per article; the intercept is not penalised."""
    z = standard(features).astype(np.float64)
    w = (weights / weights.mean()).astype(np.float64)[:, None]
    z_mean, y_mean = (w * z).mean(0), (w * targets).mean(0)
    z, y = z - z_mean, targets - y_mean
    gram = z.T @ (w * z) + alpha * len(z) * np.eye(z.shape[1])
    solution = np.linalg.solve(gram, z.T @ (w * y))
    return standard.head(solution.T, y_mean - z_mean @ solution)


def fit_logistic(
    standard: Standard, features: Array, positive: NDArray[np.bool_], weights: Array, c: float
) -> Perceptron:
    """One logit, by weighted L2 logistic regression."""
    model = LogisticRegression(C=c, max_iter=500)
    model.fit(standard(features), positive, sample_weight=weights / weights.mean())
    return standard.head(model.coef_, model.intercept_)


def on_columns(head: Perceptron, standard: Standard, columns: slice) -> Perceptron:
    """A linear head over part of the features as one over all of them."""
    skip = np.zeros((head.outputs, len(standard.center)), dtype=np.float32)
    skip[:, columns] = head.skip * (standard.scale[columns] / head.scale)
    shift = head.skip @ ((standard.center[columns] - head.center) / head.scale)
    return standard.head(skip, head.bias + shift)


def blend(parts: Sequence[tuple[Perceptron, float]]) -> Perceptron:
    """Weighted mean of heads that share center and scale, as one head."""
    first = parts[0][0]
    return Perceptron(
        center=first.center,
        scale=first.scale,
        skip=np.sum([share * head.skip for head, share in parts], axis=0, dtype=np.float32),
        bias=np.sum([share * head.bias for head, share in parts], axis=0, dtype=np.float32),
        hidden=np.concatenate([head.hidden for head, _ in parts]),
        hidden_bias=np.concatenate([head.hidden_bias for head, _ in parts]),
        out=np.concatenate([np.float32(share) * head.out for head, share in parts], axis=1),
    )


def stack(upper: Perceptron, lower: Perceptron) -> Perceptron:
    """Both heads' outputs, one above the other; they share center and scale."""
    upper_units, lower_units = len(upper.hidden_bias), len(lower.hidden_bias)
    out = np.zeros((upper.outputs + lower.outputs, upper_units + lower_units), dtype=np.float32)
    out[: upper.outputs, :upper_units] = upper.out
    out[upper.outputs :, upper_units:] = lower.out
    return Perceptron(
        center=upper.center,
        scale=upper.scale,
        skip=np.concatenate([upper.skip, lower.skip]),
        bias=np.concatenate([upper.bias, lower.bias]),
        hidden=np.concatenate([upper.hidden, lower.hidden]),
        hidden_bias=np.concatenate([upper.hidden_bias, lower.hidden_bias]),
        out=out,
    )


def apply(head: Perceptron, features: Array) -> Array:
    """[n, outputs] in one product: for fitting, where the last bit does not matter."""
    z = (features - head.center) / head.scale
    units = np.maximum(z @ head.hidden.T + head.hidden_bias, 0)
    return np.asarray(z @ head.skip.T + units @ head.out.T + head.bias, dtype=np.float32)
