"""The commerce heads: one over the embedding for the clear cases, one over the trunk's state for the doubtful ones.

Language must not stand in for commerce: the predecessor's non-English rows were nearly all advertisements, so "not
English" became "commerce". Training data here holds both kinds in each language, and errors are reported by language.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from core.commerce import CommerceThresholds
from models.heads import Perceptron
from offline.calibration import out_of_fold
from offline.dataset import Array
from offline.training.linear import Standard, apply, fit_ridge
from offline.training.networks import fit_degrees

COMMERCE_AT = 6.0
_JOURNALISM_BELOW = 4.0
_CERTAIN = 0.002
"""Share of other articles that the embedding may reject unread."""
_DOUBTED = 0.98
"""Share of commerce that the embedding must leave in doubt at least: the rest is never read for it."""
_WRONGLY_REJECTED = 0.01
"""Share of other articles that the reading may reject when its threshold is set; the bar on new articles is .02."""
_LEAST_CONFIRMED = 0.2
_READING_ALPHA = 0.3


@dataclass(frozen=True)
class CommerceData:
    """states: [n, hidden] of the trunk; embeddings: [n, width]; scores: [n] of the oracle, 0-10; weights, languages: by
    row. train: rows that the trunk has learned from; val: rows that it has not. test: rows that only measure.
    """

    states: Array
    embeddings: Array
    scores: Array
    weights: Array
    languages: tuple[str, ...]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def positive(self) -> NDArray[np.bool_]:
        return np.asarray(self.scores >= COMMERCE_AT)

    @property
    def degree(self) -> Array:
        """Soft targets: 4 to 8 points are a matter of degree."""
        return np.asarray(np.clip((self.scores - 3) / 5, 0, 1), dtype=np.float32)

    @property
    def features(self) -> Array:
        return np.concatenate([self.states, self.embeddings], axis=1)


@dataclass(frozen=True)
class CommerceFit:
    """embedding: head over the embedding; reading: head over [trunk state, embedding]. Both give a logit."""

    embedding: Perceptron
    reading: Perceptron
    thresholds: CommerceThresholds
    figures: dict[str, Any]


def fit_commerce(data: CommerceData) -> CommerceFit:
    """The embedding's thresholds come from predictions out of fold; the reading head's from articles new to the trunk.

    The shipped embedding head has seen every row that does not measure.
    """
    known = np.concatenate([data.train, data.val])
    logits = out_of_fold(
        len(known), lambda fit, rest: apply(_embedding_head(data, known[fit]), data.embeddings[known[rest]])[:, 0]
    )
    slope, shift = platt(logits, data.positive[known])
    probability = np.round(_sigmoid(slope * logits + shift), 3)
    reading = _reading_head(data)
    positive = data.positive[known]
    doubted_at = max(0.001, _down(float(np.quantile(probability[positive], 1 - _DOUBTED))))
    thresholds = CommerceThresholds(
        rejected_at=certain_threshold(probability, data, known),
        doubted_at=doubted_at,
        confirmed_at=confirming_threshold(probabilities(reading, data.features[data.val])),
    )
    embedding = _as_probability(_embedding_head(data, known), logits, positive)
    figures = {
        "embedding_out_of_fold": {
            "commerce_rejected": float((probability >= thresholds.rejected_at)[positive].mean()),
            "others_rejected": float((probability >= thresholds.rejected_at)[~positive].mean()),
            "commerce_read_or_rejected": float((probability >= doubted_at)[positive].mean()),
            "read": float(np.mean([thresholds.doubts(float(p)) for p in probability])),
        },
        "unread": measure(data, data.test, probabilities(embedding, data.embeddings[data.test]) >= 0.5),
    }
    fit = CommerceFit(embedding, reading, thresholds, figures)
    for name, rows in (("held_out", data.test), ("held_out_and_validation", np.concatenate([data.val, data.test]))):
        figures[name] = measure(data, rows, said(fit, data, rows))
    return fit


def said(fit: CommerceFit, data: CommerceData, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[rows] True where the cascade rejects."""
    first = probabilities(fit.embedding, data.embeddings[rows])
    second = probabilities(fit.reading, data.features[rows])
    thresholds = fit.thresholds
    answers = [p >= thresholds.rejected_at or (thresholds.doubts(p) and thresholds.confirms(q))
               for p, q in zip(first.tolist(), second.tolist(), strict=True)]  # fmt: skip
    return np.array(answers, dtype=bool)


def probabilities(head: Perceptron, features: Array) -> Array:
    """[n] rounded as the stream rounds."""
    return np.round(_sigmoid(apply(head, features)[:, 0].astype(np.float64)), 3)


def certain_threshold(probability: Array, data: CommerceData, known: NDArray[np.int64]) -> float:
    """The lowest threshold that rejects next to no other article, overall and among non-English ones by themselves."""
    other = ~data.positive[known]
    foreign = other & ~np.isin(np.array(data.languages)[known], ("en", "unknown"))
    for threshold in np.round(np.linspace(0.05, 0.95, 181), 3):
        shares = [float((probability[rows] >= threshold).mean()) for rows in (other, foreign) if rows.any()]
        if max(shares, default=0.0) <= _CERTAIN:
            return float(threshold)
    return 0.95


def confirming_threshold(probability: Array) -> float:
    """The lowest threshold by which calibrated probabilities expect few others to be rejected.

    Expected, not counted: a few dozen advertisements would put a counted optimum anywhere between two of them.
    """
    others = 1 - np.sort(probability)[::-1]
    rejected = int((np.cumsum(others) <= _WRONGLY_REJECTED * others.sum()).sum())
    return max(_LEAST_CONFIRMED, float(np.round(1 - others[max(0, rejected - 1)], 3)))


def measure(data: CommerceData, rows: NDArray[np.int64], rejected: NDArray[np.bool_]) -> dict[str, Any]:
    """F1, recall, and false positives on journalism by language. rejected: [rows]."""
    positive, languages = data.positive[rows], np.array(data.languages)[rows]
    journalism = data.scores[rows] < _JOURNALISM_BELOW
    clear = positive | journalism
    by_language = {
        str(name): {
            "journalism": int((here & journalism).sum()),
            "false_positives": int((here & journalism & rejected).sum()),
            "commerce": int((here & positive).sum()),
            "found": int((here & positive & rejected).sum()),
        }
        for name in sorted(set(languages.tolist()))
        if len(here := languages == name)
    }
    foreign = journalism & ~np.isin(languages, ("en", "unknown"))
    return {
        "articles": len(rows),
        "f1": f1(rejected, positive),
        "f1_clear": f1(rejected[clear], positive[clear]),
        "recall": float(rejected[positive].mean()) if positive.any() else None,
        "others_rejected": float(rejected[~positive].mean()),
        "false_positives_non_english": float(rejected[foreign].mean()) if foreign.any() else None,
        "languages": by_language,
    }


def f1(said: NDArray[np.bool_], real: NDArray[np.bool_]) -> float:
    both = int((said & real).sum())
    return 2 * both / max(1, int(said.sum()) + int(real.sum()))


def platt(logits: Array, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and shift that make the sigmoid of a logit a probability (Platt 1999)."""
    model = LogisticRegression(C=1e3).fit(logits[:, None], positive)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _reading_head(data: CommerceData) -> Perceptron:
    """Ridge on the degree of selling; its scale is set by articles that the trunk has not learned from."""
    features, train = data.features, data.train
    head = fit_ridge(Standard.of(features[train]), features[train], data.degree[train, None], data.weights[train],
                     _READING_ALPHA)  # fmt: skip
    return _as_probability(head, apply(head, features[data.val])[:, 0], data.positive[data.val])


def _sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits)))


def _down(value: float) -> float:
    return float(np.floor(value * 1000) / 1000)


def _embedding_head(data: CommerceData, rows: NDArray[np.int64]) -> Perceptron:
    return fit_degrees(data.embeddings[rows], data.degree[rows], data.weights[rows])


def _as_probability(head: Perceptron, logits: Array, positive: NDArray[np.bool_]) -> Perceptron:
    """The head whose output's sigmoid is a probability, by its logits on articles that it has not seen."""
    slope, shift = platt(logits, positive)
    return head.rescaled(np.array([slope], dtype=np.float32), np.array([shift], dtype=np.float32))
