"""Encoder embeddings and trunk states, cached on disk by content: computing them is what training waits for."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from core.article import Article
from core.text import content_hash, model_text
from offline.dataset import Array

Compute = Callable[[Sequence[str]], Array]
"""Texts to vectors [n, width] float32."""
Report = Callable[[str, int, int], None]
"""What is being computed, how many are done, how many there are."""
_CHUNK = 256
"""Articles between two saves: a killed run loses less than half a minute."""


class FeatureCache:
    """Vectors of one model (`key` names it with its revision) under `folder`."""

    def __init__(self, folder: Path, key: str, compute: Compute) -> None:
        self._path = folder / f"{key}.npz"
        self._compute = compute
        self._key = key
        self._known: dict[str, Array] = {}
        if self._path.is_file():
            with np.load(self._path) as stored:
                self._known = dict(zip(stored["hashes"].tolist(), stored["vectors"], strict=True))

    def vectors(self, articles: Sequence[Article], report: Report) -> Array:
        """[n, width] in the order of `articles`; computes and stores those not seen before."""
        hashes = [content_hash(article) for article in articles]
        missing = {h: article for h, article in zip(hashes, articles, strict=True) if h not in self._known}
        waiting = sorted(missing, key=lambda h: len(missing[h].content))
        for start in range(0, len(waiting), _CHUNK):
            part = waiting[start : start + _CHUNK]
            vectors = self._compute([model_text(missing[h]) for h in part])
            self._known |= dict(zip(part, vectors, strict=True))
            self._save()
            report(self._key, start + len(part), len(waiting))
        return np.stack([self._known[h] for h in hashes]).astype(np.float32)

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f".{self._path.name}.partial.npz")
        np.savez(partial, hashes=np.array(list(self._known)), vectors=np.stack(list(self._known.values())))
        partial.replace(self._path)
