"""Gemma 3 weights with an adapter merged in, and the tables that depend on positions alone."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.engines.protocol import GemmaShape
from models.lora import Lora, load_lora
from models.tensor_file import Matrix, TensorFile

MASKED = np.float32(-1e9)


@dataclass(frozen=True)
class GemmaWeights:
    """Base folder in transformers' layout, and an optional PEFT adapter.

    The embedding table stays on disk: 63% of Gemma-3-270M, of which an article touches some hundred rows.
    """

    base: Path
    adapter: Path | None = None

    @cached_property
    def shape(self) -> GemmaShape:
        return GemmaShape.from_config(json.loads((self.base / "config.json").read_text()))

    @cached_property
    def lora(self) -> Lora | None:
        return load_lora(self.adapter) if self.adapter else None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that the merged weights follow from. The base is known by size and date of its files."""
        digest = hashlib.sha256((self.base / "config.json").read_bytes())
        status = (self.base / "model.safetensors").stat()
        digest.update(f"{self.base.name} {status.st_size} {status.st_mtime_ns}".encode())
        if self.adapter:
            for name in ("adapter_config.json", "adapter_model.safetensors"):
                digest.update((self.adapter / name).read_bytes())
        return digest.hexdigest()[:24]

    def matrix(self, module: str) -> Matrix:
        """Merged weight of a projection, [out, in]; `module` without the leading `model.`."""
        weight = self._file.f32(f"model.{module}.weight")
        return self.lora.merge(module, weight) if self.lora else weight

    def norm(self, module: str) -> Matrix:
        """1 + weight of an RMS norm."""
        return self._file.f32(f"model.{module}.weight") + np.float32(1)

    def embed(self, ids: NDArray[np.int64]) -> Matrix:
        """[*ids.shape, hidden], scaled as Gemma does."""
        return self._file.rows("model.embed_tokens.weight", ids) * np.float32(self.shape.hidden**0.5)

    @cached_property
    def _file(self) -> TensorFile:
        return TensorFile(self.base / "model.safetensors")


def rope_tables(length: int, theta: float, head_dim: int) -> tuple[Matrix, Matrix]:
    """cos and sin, [length, head_dim] each. Computed in float32: inside a bf16 graph the angles drift."""
    inverse = 1.0 / theta ** (np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim))
    angles = np.outer(np.arange(length, dtype=np.float32), inverse.astype(np.float32))
    angles = np.concatenate([angles, angles], axis=1)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def attention_mask(length: int, window: int | None) -> Matrix:
    """[length, length] to add to the logits: causal, and within `window` tokens where the layer slides."""
    query, key = np.arange(length)[:, None], np.arange(length)[None, :]
    hidden = key > query
    if window is not None:
        hidden |= query - key >= window
    return np.where(hidden, MASKED, np.float32(0))
