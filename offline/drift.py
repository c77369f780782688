"""Has the stream moved away from what a filter was trained on? Probe scores, languages, sources, embeddings."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from offline.dataset import Array

Reading = Literal["stable", "watch", "changed"]

BINS = 10
WATCH, CHANGED = 0.1, 0.2
"""The usual reading of the population stability index."""
SHIFT_WATCH, SHIFT_CHANGED = 2.0, 5.0
"""Of `mean_shift`, where 1 is what chance alone gives."""
_MIN_SHARE = 1e-3
"""A category that one side lacks counts as this share: the logarithm stays finite, and the index large."""


@dataclass(frozen=True)
class Drift:
    """Indices against the training snapshot, with their reading."""

    reference: int
    live: int
    probe_psi: float | None
    language_psi: float
    source_psi: float
    embedding_shift: float

    def readings(self) -> dict[str, Reading]:
        found: dict[str, Reading] = {
            "languages": read(self.language_psi, WATCH, CHANGED),
            "sources": read(self.source_psi, WATCH, CHANGED),
            "embeddings": read(self.embedding_shift, SHIFT_WATCH, SHIFT_CHANGED),
        }
        if self.probe_psi is not None:
            found["probe"] = read(self.probe_psi, WATCH, CHANGED)
        return found

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"readings": self.readings()}


def read(value: float, watch: float, changed: float) -> Reading:
    return "changed" if value > changed else "watch" if value > watch else "stable"


def stability_index(expected: Sequence[float], found: Sequence[float]) -> float:
    """PSI of two distributions over the same bins (counts or shares)."""
    total, other = math.fsum(expected), math.fsum(found)
    pairs = [(max(_MIN_SHARE, e / total), max(_MIN_SHARE, f / other)) for e, f in zip(expected, found, strict=True)]
    return math.fsum((f - e) * math.log(f / e) for e, f in pairs)


def score_psi(reference: NDArray[np.floating], live: NDArray[np.floating]) -> float:
    """PSI over the reference's deciles."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1) for side in (reference, live)]
    return stability_index(counts[0].tolist(), counts[1].tolist())


def mix_psi(reference: Sequence[str | None], live: Sequence[str | None], top: int = 20) -> float:
    """PSI of a mix of categories; beyond the reference's `top` ones all count as one."""
    common = [name for name, _ in Counter(reference).most_common(top)]
    counts = [Counter(name if name in common else "(others)" for name in side) for side in (reference, live)]
    names = [*common, "(others)"]
    return stability_index([counts[0][name] for name in names], [counts[1][name] for name in names])


def mean_shift(reference: Array, live: Array) -> float:
    """Squared distance of the mean embeddings over what two samples of one stream would show (1 by chance)."""
    distance = float(((reference.mean(0) - live.mean(0)) ** 2).sum())
    chance = float(reference.var(0).sum()) / len(reference) + float(live.var(0).sum()) / len(live)
    return distance / max(chance, 1e-12)
