"""One embedding per article: text to a unit vector, through whichever engine runs the encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.package import EncoderRef
from models.cache import VectorCache, Vectors
from models.engines.protocol import Engine

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TextEncoder:
    """core.cascade.Encoder. Prefix and length limit are pinned in the manifests: both change every embedding."""

    def __init__(self, engine: Engine, tokenizer: "Tokenizer", prefix: str, max_tokens: int) -> None:
        self._engine, self._tokenizer, self._prefix = engine, tokenizer, prefix
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._cache = VectorCache()

    @property
    def width(self) -> int:
        return self._engine.width

    @property
    def engine_name(self) -> str:
        return self._engine.name

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, width] float32 of unit length."""
        if not texts:
            return np.zeros((0, self.width), dtype=np.float32)
        return self._cache.vectors(texts, self._compute)

    def forget(self) -> None:
        """Empty the cache, so that a benchmark measures the engine."""
        self._cache = VectorCache()

    def _compute(self, texts: list[str]) -> Vectors:
        encodings = self._tokenizer.encode_batch_fast([self._prefix + text for text in texts])
        return self._engine.states([encoding.ids for encoding in encodings])


def load_encoder(engine: Engine, folder: Path, ref: EncoderRef) -> TextEncoder:
    """The encoder of `folder` with the prefix and limit that packages were trained with."""
    from tokenizers import Tokenizer

    return TextEncoder(engine, Tokenizer.from_file(str(folder / "tokenizer.json")), ref.prefix, ref.max_tokens)
