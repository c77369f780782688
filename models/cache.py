"""A bounded memory of computed vectors: the same text is computed once, also within one batch."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
_Key = bytes


class VectorCache:
    """Least recently used texts leave first. 4,096 states of Gemma-3-270M are 10 MB."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._vectors: OrderedDict[_Key, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    def vectors(self, texts: Sequence[str], compute: Callable[[list[str]], Vectors]) -> Vectors:
        """[n, width] in the order of `texts`; `compute` gets each unknown text once. `texts` must not be empty."""
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        found = self._known(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            computed = dict(zip(missing, compute(list(missing.values())), strict=True))
            found |= computed
            self._remember(computed)
        return np.stack([found[key] for key in keys])

    def _known(self, keys: Sequence[_Key]) -> dict[_Key, Vectors]:
        with self._lock:
            known = {key: self._vectors[key] for key in keys if key in self._vectors}
            for key in known:
                self._vectors.move_to_end(key)
        return known

    def _remember(self, computed: dict[_Key, Vectors]) -> None:
        with self._lock:
            self._vectors |= computed
            while len(self._vectors) > self._capacity:
                self._vectors.popitem(last=False)
