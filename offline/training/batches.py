"""Articles as token ids, and batches of them with little padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PAD_ID = 0
_CALL_COST_TOKENS = 96
"""What one more forward and backward call costs, in tokens (measured on 2 cores)."""


@dataclass(frozen=True)
class MicroBatch:
    """rows: positions in the data set; ids: [rows, length] right-padded; lengths: [rows]."""

    rows: Tensor
    ids: Tensor
    lengths: Tensor

    def to(self, device: torch.device) -> "MicroBatch":
        return MicroBatch(self.rows.to(device), self.ids.to(device), self.lengths.to(device))


def pad(rows: Sequence[int], tokens: Sequence[Sequence[int]]) -> MicroBatch:
    """Right-padded to a multiple of 8."""
    lengths = [len(tokens[row]) for row in rows]
    width = -(-max(lengths) // 8) * 8
    ids = torch.full((len(rows), width), PAD_ID)
    for at, row in enumerate(rows):
        ids[at, : lengths[at]] = torch.tensor(tokens[row])
    return MicroBatch(torch.tensor(rows), ids, torch.tensor(lengths))


def micro_batches(rows: Sequence[int], tokens: Sequence[Sequence[int]], budget: int) -> list[list[int]]:
    """Cut articles, sorted by length, where padding and calls together cost least (dynamic programme).

    A micro-batch has at most `budget` padded tokens, unless one article alone is longer.
    """
    ordered = sorted(rows, key=lambda row: (len(tokens[row]), row))
    best: list[float] = [0.0]
    cut: list[int] = [0]
    for end in range(1, len(ordered) + 1):
        width = len(tokens[ordered[end - 1]])
        most = max(1, budget // width)
        cost, start = min(
            (best[start] + width * (end - start) + _CALL_COST_TOKENS, start) for start in range(max(0, end - most), end)
        )
        best.append(cost)
        cut.append(start)
    parts, end = [], len(ordered)
    while end:
        parts.append(ordered[cut[end] : end])
        end = cut[end]
    return parts[::-1]


def steps(passes: Sequence[tuple[Sequence[int], float]], batch_size: int, seed: int) -> Iterator[list[int]]:
    """Endless optimiser steps of `batch_size` articles, a pure function of the seed.

    Args:
        passes: (rows, share) by source: a share of .25 means that one pass over the others meets a different
            quarter of these rows each time.
    """
    epoch = 0
    while True:
        generator = np.random.default_rng((seed, epoch))
        chosen: list[int] = []
        for rows, share in passes:
            chosen += _slice(rows, share, epoch, seed)
        generator.shuffle(chosen)
        for start in range(0, len(chosen) - batch_size + 1, batch_size):
            yield chosen[start : start + batch_size]
        epoch += 1


def _slice(rows: Sequence[int], share: float, epoch: int, seed: int) -> list[int]:
    """Consecutive share of an endlessly repeated, once shuffled list."""
    order = np.random.default_rng(seed).permutation(len(rows))
    count = round(len(rows) * share)
    return [rows[order[(epoch * count + i) % len(rows)]] for i in range(count)]
