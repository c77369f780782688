"""Texts to vectors, through whichever engine runs the model: one embedding, or one state of the trunk, per text."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.package import EncoderRef
from models.cache import VectorCache, Vectors
from models.engines.protocol import Engine, TokenIds
from models.tokens import token_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Tokenise = Callable[[list[str]], Sequence[TokenIds]]

_background = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
"""Tokenisers are read while graphs load and Kafka's groups form: they take most of the time until the first article."""


class TextEngine:
    """An engine with its tokeniser. The same text is computed once, as long as the cache remembers it."""

    def __init__(self, engine: Engine, tokenise: Tokenise) -> None:
        self._engine, self._tokenise = engine, tokenise
        self._cache = VectorCache()

    @property
    def width(self) -> int:
        return self._engine.width

    @property
    def engine_name(self) -> str:
        return self._engine.name

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, width] float32, in the order of `texts`."""
        if not texts:
            return np.zeros((0, self.width), dtype=np.float32)
        return self._cache.vectors(texts, lambda missing: self._engine.states(self._tokenise(missing)))

    def forget(self) -> None:
        """Empty the cache, so that a benchmark measures the engine."""
        self._cache = VectorCache()


def load_encoder(engine: Engine, folder: Path, ref: EncoderRef) -> TextEngine:
    """The encoder of `folder`. Prefix and length limit are pinned in the manifests: both change every embedding."""
    loading = _background.submit(load_tokenizer, folder, ref.max_tokens)

    def tokenise(texts: list[str]) -> list[list[int]]:
        encodings = loading.result().encode_batch_fast([ref.prefix + text for text in texts])
        return [encoding.ids for encoding in encodings]

    return TextEngine(engine, tokenise)


def load_trunk(engine: Engine, base: Path, max_tokens: int) -> TextEngine:
    """A language model with its adapter: texts to states of their last token."""
    loading = _background.submit(load_tokenizer, base)

    def tokenise(texts: list[str]) -> list[list[int]]:
        tokenizer = loading.result()
        return [token_ids(tokenizer, text, max_tokens) for text in texts]

    return TextEngine(engine, tokenise)


def load_tokenizer(folder: Path, max_tokens: int | None = None) -> "Tokenizer":
    """Without padding; longer texts are cut where `max_tokens` is given."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    if max_tokens is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(max_tokens)
    return tokenizer
