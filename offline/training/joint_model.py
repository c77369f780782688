"""What is trained: the trunk with one linear head for all filters, over the articles of a run."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from offline.dataset import Array
from offline.metrics import ranking
from offline.training.batches import MicroBatch, micro_batches, pad
from offline.training.gemma import Trunk
from offline.training.targets import Targets, width

_INFERENCE_BUDGET = 4096
_STATISTICS_ROWS = 512


@dataclass(frozen=True)
class Corpus:
    """Articles of the run. tokens: ids per article; embeddings: [articles, width] of the encoder.

    passes: (rows, share of a pass) by source; val_rows: rows that only measure.
    """

    tokens: list[list[int]]
    embeddings: Tensor
    targets: Targets
    passes: list[tuple[list[int], float]]
    val_rows: list[int]

    def to(self, device: torch.device) -> "Corpus":
        return replace(self, embeddings=self.embeddings.to(device), targets=self.targets.to(device))

    def batch(self, rows: list[int]) -> MicroBatch:
        return pad(rows, self.tokens).to(self.embeddings.device)


class JointModel(nn.Module):
    """Trunk, and one linear head over [trunk state, encoder embedding], standardised by fixed statistics."""

    center: Tensor
    spread: Tensor

    def __init__(self, trunk: Trunk, features: Tensor, outputs: int, seed: int) -> None:
        """Args: features: [articles, hidden + embedding] of the untrained trunk, to standardise by."""
        super().__init__()
        self.trunk = trunk
        self.register_buffer("center", features.mean(0))
        self.register_buffer("spread", features.std(0).clamp_min(1e-6))
        self.head = nn.Linear(features.shape[1], outputs)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.head.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, lengths: Tensor, embeddings: Tensor) -> Tensor:
        features = torch.cat((self.trunk(ids, lengths), embeddings), -1)
        outputs: Tensor = self.head((features - self.center) / self.spread)
        return outputs


def first_features(trunk: Trunk, corpus: Corpus) -> Tensor:
    """[articles, hidden + embedding] of the untrained trunk, to standardise the head's input by."""
    rows = [row for source, _ in corpus.passes for row in source][:_STATISTICS_ROWS]
    found = dict(states(trunk, corpus.tokens, rows))
    state = torch.from_numpy(np.stack([found[row] for row in rows])).to(corpus.embeddings.device)
    return torch.cat((state, corpus.embeddings[rows]), -1)


def validate(model: JointModel, corpus: Corpus) -> dict[str, dict[str, float]]:
    """Weighted MAE, Spearman and average precision of relevant articles, by filter, on the validation rows."""
    outputs = torch.empty(len(corpus.val_rows), width(corpus.targets.parts))
    place = {row: at for at, row in enumerate(corpus.val_rows)}
    with torch.no_grad():
        for part in micro_batches(corpus.val_rows, corpus.tokens, _INFERENCE_BUDGET):
            batch = corpus.batch(part)
            found = model(batch.ids, batch.lengths, corpus.embeddings[batch.rows])
            outputs[[place[row] for row in part]] = found.cpu()
    targets = corpus.targets.to(outputs.device)
    guess = targets.restore(outputs).numpy()
    truth = targets.restore(targets.values[corpus.val_rows]).numpy()
    result = {}
    for block in corpus.targets.parts:
        known = ~np.isnan(truth[:, block.weighted])
        if known.sum() > 1:
            result[block.spec.name] = ranking(
                np.clip(guess[known, block.weighted], 0, 10), truth[known, block.weighted], block.spec.gate.relevant_at
            )
    return result


def states(
    trunk: Trunk, tokens: list[list[int]], rows: list[int], budget: int = _INFERENCE_BUDGET
) -> Iterator[tuple[int, Array]]:
    """(row, trunk state [hidden]) of each article, in batches of similar length."""
    with torch.inference_mode():
        for part in micro_batches(rows, tokens, budget):
            batch = pad(part, tokens).to(trunk.embedding.device)
            for row, state in zip(part, trunk(batch.ids, batch.lengths).cpu().numpy(), strict=True):
                yield row, np.asarray(state, dtype=np.float32)


def validation_cost(found: dict[str, dict[str, float]], targets: Targets) -> float:
    """Mean over the filters of the weighted score's MAE, in standard deviations of its training labels."""
    scale = {block.spec.name: float(targets.scale[block.weighted]) for block in targets.parts}
    return float(np.mean([metrics["mae"] / scale[name] for name, metrics in found.items()]))
