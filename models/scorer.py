"""The scorer: one pass of each trunk over the articles that need it, then the heads of the open filters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.cascade import ScorerInput
from models.cache import Vectors
from models.heads import HeadStack, Perceptron
from models.text_engine import TextEngine

_NO_STATE = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True)
class FilterHead:
    """`trunk` is the key of the trunk whose state the head reads before the embedding; None: the embedding alone."""

    trunk: str | None
    head: Perceptron


class HeadScorer:
    """core.cascade.Scorer. Filters that share a trunk share its pass; one more filter costs one more head.

    Heads of one trunk are computed together, those of closed filters as well: they are a few rows of one product.
    """

    def __init__(self, trunks: Mapping[str, TextEngine], heads: Mapping[str, FilterHead]) -> None:
        self._trunks, self.heads = dict(trunks), dict(heads)
        keys = {part.trunk for part in heads.values()}
        self._stacks = {key: HeadStack({n: p.head for n, p in heads.items() if p.trunk == key}) for key in keys}

    @property
    def engine_name(self) -> str:
        names = {trunk.engine_name for trunk in self._trunks.values()}
        return "+".join(sorted(names)) or "none"

    def forget(self) -> None:
        """Empty the trunks' caches."""
        for trunk in self._trunks.values():
            trunk.forget()

    def score(self, inputs: Sequence[ScorerInput]) -> list[Mapping[str, Vectors]]:
        states = {key: self._states(key, trunk, inputs) for key, trunk in self._trunks.items()}
        results: list[Mapping[str, Vectors]] = []
        for row, item in enumerate(inputs):
            output: dict[str, Vectors] = {}
            for key in {self.heads[name].trunk for name in item.filters}:
                state = _NO_STATE if key is None else states[key][row]
                output |= self._stacks[key](np.concatenate([state, item.embedding]))
            results.append({name: output[name] for name in item.filters})
        return results

    def _states(self, key: str, trunk: TextEngine, inputs: Sequence[ScorerInput]) -> dict[int, Vectors]:
        """States by row, of the rows that have a filter of this trunk open."""
        rows = [row for row, item in enumerate(inputs) if any(self.heads[name].trunk == key for name in item.filters)]
        return dict(zip(rows, trunk.encode([inputs[row].text for row in rows]), strict=True)) if rows else {}
