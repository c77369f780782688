"""Small networks over fixed features, for what a linear head cannot tell apart."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from models.heads import Perceptron
from offline.dataset import Array
from offline.training.linear import Standard, blend


@dataclass(frozen=True)
class Recipe:
    """One hidden layer of `units`; dropout on inputs and units. `seeds` networks are averaged."""

    units: int
    dropout: tuple[float, float]
    weight_decay: float
    epochs: int
    learning_rate: float
    seeds: int
    batch: int = 128


DEGREES = Recipe(units=48, dropout=(0.2, 0.3), weight_decay=0.05, epochs=30, learning_rate=2e-3, seeds=4)
SCORES = Recipe(units=64, dropout=(0.5, 0.5), weight_decay=0.1, epochs=30, learning_rate=1e-3, seeds=3)


def fit_degrees(features: Array, degree: Array, weights: Array, recipe: Recipe = DEGREES) -> Perceptron:
    """One logit. Args: degree: [n] soft targets in 0-1. weights: [n]."""
    standard = Standard.of(features)
    parts = (_tensor(standard(features)), _tensor(degree)[:, None], _tensor(weights)[:, None])
    nets = [_train(parts, nn.functional.binary_cross_entropy_with_logits, recipe, seed) for seed in range(recipe.seeds)]
    return blend([(_perceptron(net, standard), 1 / recipe.seeds) for net in nets])


def fit_scores(
    standard: Standard, features: Array, targets: Array, weights: Array, recipe: Recipe = SCORES
) -> Perceptron:
    """Scores on the oracle's scale, by Huber regression. Args: targets: [n, outputs]. weights: [n]."""
    scale = Standard.of(targets)
    parts = (_tensor(standard(features)), _tensor(scale(targets)), _tensor(weights / weights.mean())[:, None])
    nets = [_train(parts, nn.functional.huber_loss, recipe, seed) for seed in range(recipe.seeds)]
    head = blend([(_perceptron(net, standard), 1 / recipe.seeds) for net in nets])
    return head.rescaled(scale.scale.astype(np.float32), scale.center.astype(np.float32))


def _train(parts: tuple[Tensor, Tensor, Tensor], loss: object, recipe: Recipe, seed: int) -> nn.Sequential:
    z, target, weight = parts
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        before, after = recipe.dropout
        net = nn.Sequential(
            nn.Dropout(before), nn.Linear(z.shape[1], recipe.units), nn.ReLU(), nn.Dropout(after),
            nn.Linear(recipe.units, target.shape[1]),
        )  # fmt: skip
        optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)
        for _ in range(recipe.epochs):
            for rows in torch.split(torch.randperm(len(z), generator=generator), recipe.batch):
                errors = loss(net(z[rows]), target[rows], reduction="none")  # type: ignore[operator]
                optimizer.zero_grad()
                (errors * weight[rows]).mean().backward()
                optimizer.step()
            schedule.step()
    return net.eval()


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _perceptron(net: nn.Sequential, standard: Standard) -> Perceptron:
    first, last = cast(nn.Linear, net[1]), cast(nn.Linear, net[4])
    return Perceptron(
        center=standard.center.astype(np.float32),
        scale=standard.scale.astype(np.float32),
        skip=np.zeros((last.out_features, len(standard.center)), dtype=np.float32),
        bias=last.bias.detach().numpy(),
        hidden=first.weight.detach().numpy(),
        hidden_bias=first.bias.detach().numpy(),
        out=last.weight.detach().numpy(),
    )
