"""Small networks over an embedding, for what a linear head cannot tell apart."""

from typing import cast

import numpy as np
import torch
from torch import nn

from models.heads import Perceptron
from offline.dataset import Array
from offline.training.linear import Standard, blend

_UNITS, _EPOCHS = 48, 30


def fit_networks(features: Array, degree: Array, weights: Array, seeds: int) -> Perceptron:
    """One logit: the mean of `seeds` small networks. Args: degree: [n] soft targets in 0-1. weights: [n]."""
    standard = Standard.of(features)
    z = torch.from_numpy(standard(features))
    target = torch.from_numpy(degree.astype(np.float32))
    weight = torch.from_numpy(weights.astype(np.float32))
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
