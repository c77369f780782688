"""The commerce head: one embedding in, the probability that a text sells rather than reports out.

Language must not stand in for commerce: the predecessor's non-English rows were nearly all advertisements, so "not
English" became "commerce". Training data here holds both kinds in each language, and errors are reported by language.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from core.calibration import Gate
from models.heads import Perceptron
from offline.calibration import out_of_fold
from offline.dataset import Array
from offline.training.linear import Standard, apply, blend

COMMERCE_AT = 6.0
_JOURNALISM_BELOW = 4.0
_MAX_REJECTED = 0.012
"""Share of other articles that may be rejected when the threshold is set; the bar on new articles is .02."""
_UNITS, _EPOCHS, _SEEDS = 48, 30, 4


@dataclass(frozen=True)
class CommerceData:
    """embeddings: [n, width]; scores: [n] of the oracle, 0-10; weights, languages: by row."""

    embeddings: Array
    scores: Array
    weights: Array
    languages: tuple[str, ...]

    @property
    def positive(self) -> NDArray[np.bool_]:
        return np.asarray(self.scores >= COMMERCE_AT)


@dataclass(frozen=True)
class CommerceFit:
    """gate.threshold: articles at or above it are rejected as commerce."""

    head: Perceptron
    gate: Gate
    figures: dict[str, Any]


def fit_commerce(data: CommerceData) -> CommerceFit:
    """Threshold and calibration come from predictions out of fold; the shipped head has seen every row."""
    logits = out_of_fold(
        len(data.scores), lambda fit, rest: apply(_fit(data, fit, seeds=2), data.embeddings[rest])[:, 0]
    )
    slope, shift = platt(logits, data.positive)
    probability = 1 / (1 + np.exp(-(slope * logits + shift)))
    threshold = choose_threshold(probability, data)
    head = _fit(data, np.arange(len(data.scores)), _SEEDS)
    figures = measure(probability, threshold, data)
    gate = Gate(
        threshold=threshold,
        positives=int(data.positive.sum()),
        misses=int((data.positive & (probability < threshold)).sum()),
        note="an article at or above the threshold is rejected as commerce",
    )
    return CommerceFit(_rescale(head, slope, shift), gate, figures)


def choose_threshold(probability: Array, data: CommerceData) -> float:
    """The lowest threshold that rejects few other articles, overall and among non-English ones by themselves.

    The best F1 would sit higher and let a third of the advertisements through: at 3% of a feed they weigh little.
    Rounded to 3 decimals, as the stream rounds.
    """
    other = ~data.positive
    foreign = other & ~np.isin(np.array(data.languages), ("en", "unknown"))
    for threshold in np.round(np.linspace(0.05, 0.95, 181), 3):
        shares = [float((probability[rows] >= threshold).mean()) for rows in (other, foreign) if rows.any()]
        if max(shares, default=0.0) <= _MAX_REJECTED:
            return float(threshold)
    return 0.95


def measure(probability: Array, threshold: float, data: CommerceData) -> dict[str, Any]:
    """F1, recall, and false positives on journalism by language."""
    said = np.round(probability, 3) >= threshold
    journalism = data.scores < _JOURNALISM_BELOW
    languages = np.array(data.languages)
    by_language = {}
    for name in sorted(set(data.languages)):
        rows = languages == name
        by_language[name] = {
            "journalism": int((rows & journalism).sum()),
            "false_positives": int((rows & journalism & said).sum()),
            "commerce": int((rows & data.positive).sum()),
            "found": int((rows & data.positive & said).sum()),
        }
    foreign = journalism & (languages != "en") & (languages != "unknown")
    return {
        "threshold": threshold,
        "f1": f1(said, data.positive),
        "recall": float(said[data.positive].mean()) if data.positive.any() else None,
        "others_rejected": float(said[~data.positive].mean()),
        "false_positives_non_english": float(said[foreign].mean()) if foreign.any() else None,
        "languages": by_language,
    }


def f1(said: NDArray[np.bool_], real: NDArray[np.bool_]) -> float:
    both = int((said & real).sum())
    return 2 * both / max(1, int(said.sum()) + int(real.sum()))


def platt(logits: Array, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and shift that make the sigmoid of a logit a probability (Platt 1999)."""
    model = LogisticRegression(C=1e3).fit(logits[:, None], positive)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _rescale(head: Perceptron, slope: float, shift: float) -> Perceptron:
    scaled = blend([(head, slope)])
    return Perceptron(
        center=scaled.center,
        scale=scaled.scale,
        skip=scaled.skip,
        bias=(scaled.bias + np.float32(shift)).astype(np.float32),
        hidden=scaled.hidden,
        hidden_bias=scaled.hidden_bias,
        out=scaled.out,
    )


def _fit(data: CommerceData, rows: NDArray[np.int64], seeds: int) -> Perceptron:
    """Mean logit of several small networks; soft targets, since 4 to 8 points are a matter of degree."""
    standard = Standard.of(data.embeddings[rows])
    z = torch.from_numpy(standard(data.embeddings[rows]))
    target = torch.from_numpy(np.clip((data.scores[rows] - 3) / 5, 0, 1).astype(np.float32))
    weight = torch.from_numpy(data.weights[rows].astype(np.float32))
    nets = [_train_net(z, target, weight, seed) for seed in range(seeds)]
    return blend([(_perceptron(net, standard), 1 / seeds) for net in nets])


def _train_net(z: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, seed: int) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(z.shape[1], _UNITS), nn.ReLU(), nn.Dropout(0.3), nn.Linear(_UNITS, 1)
        )
        optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
        for _ in range(_EPOCHS):
            for rows in torch.split(torch.randperm(len(z), generator=generator), 128):
                distance = nn.functional.binary_cross_entropy_with_logits(
                    net(z[rows])[:, 0], target[rows], weight=weight[rows]
                )
                optimizer.zero_grad()
                distance.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return net.eval()


def _perceptron(net: nn.Sequential, standard: Standard) -> Perceptron:
    first, last = cast(nn.Linear, net[1]), cast(nn.Linear, net[4])
    return Perceptron(
        center=standard.center.astype(np.float32),
        scale=standard.scale.astype(np.float32),
        skip=np.zeros((1, len(standard.center)), dtype=np.float32),
        bias=last.bias.detach().numpy(),
        hidden=first.weight.detach().numpy(),
        hidden_bias=first.bias.detach().numpy(),
        out=last.weight.detach().numpy(),
    )
