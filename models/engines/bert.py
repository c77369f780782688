"""BERT encoder weights: tables that stay on disk, and what an engine computes between them and the pooled vector."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.engines.batching import pad
from models.engines.protocol import BertShape, States, TokenIds
from models.tensor_file import Matrix, TensorFile

MASKED = np.float32(-1e9)


@dataclass(frozen=True)
class BertWeights:
    """A BertModel in transformers' layout."""

    base: Path

    @cached_property
    def shape(self) -> BertShape:
        return BertShape.from_config(json.loads((self.base / "config.json").read_text()))

    @cached_property
    def fingerprint(self) -> str:
        status = (self.base / "model.safetensors").stat()
        digest = hashlib.sha256((self.base / "config.json").read_bytes())
        digest.update(f"{self.base.name} {status.st_size} {status.st_mtime_ns}".encode())
        return digest.hexdigest()[:24]

    def tensor(self, name: str) -> Matrix:
        return self._file.f32(name)

    def embed(self, ids: NDArray[np.int64]) -> Matrix:
        """[*ids.shape, hidden]: word, position and type, before their norm."""
        embedded: Matrix = self._file.rows("embeddings.word_embeddings.weight", ids)
        embedded += self._positions[: ids.shape[-1]]
        return embedded

    @cached_property
    def _positions(self) -> Matrix:
        positions = self.tensor("embeddings.position_embeddings.weight")
        positions += self.tensor("embeddings.token_type_embeddings.weight")[0]
        return positions

    @cached_property
    def _file(self) -> TensorFile:
        return TensorFile(self.base / "model.safetensors")


def inputs(weights: BertWeights, rows: Sequence[TokenIds], padded: int) -> tuple[Matrix, Matrix]:
    """Embeddings [rows, padded, hidden], and the mask to add to the logits, [rows, 1, 1, padded]."""
    mask = np.full((len(rows), 1, 1, padded), MASKED, dtype=np.float32)
    for row, ids in enumerate(rows):
        mask[row, ..., : len(ids)] = 0
    return weights.embed(pad(rows, padded)), mask


def pool(states: States, rows: Sequence[TokenIds]) -> States:
    """Mean over each row's own tokens, scaled to unit length. Row by row: the rounding is the row's own."""
    means = [states[row, : len(ids)].mean(axis=0, dtype=np.float32) for row, ids in enumerate(rows)]
    return np.stack([mean / np.linalg.norm(mean) for mean in means])
