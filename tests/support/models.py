"""Deterministic models without weights: a text's numbers follow from its hash alone."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.cascade import Cascade, Models, ProbeOutput, ScorerInput
from core.commerce import COMMERCE, CommerceThresholds
from core.package import FilterPackage
from core.releases import ReleaseSet


def numbers(text: str, count: int) -> np.ndarray:
    """`count` float32 in [0, 1) that depend on the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).random(count, dtype=np.float32)


class FakeEncoder:
    width = 8

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.stack([numbers(text, self.width) - 0.5 for text in texts])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass
class FakeProbes:
    """The first embedding component decides commerce, the others the filters."""

    packages: Mapping[str, FilterPackage]

    def commerce(self, embedding: np.ndarray) -> float:
        return round(float(embedding[0] + 1) / 2, 3)

    def predict(self, embedding: np.ndarray) -> dict[str, ProbeOutput]:
        return {
            name: ProbeOutput(float(embedding[1 + i]), np.abs(embedding[1 : 1 + len(package.spec.dimensions)]) * 10)
            for i, (name, package) in enumerate(self.packages.items())
        }


@dataclass
class FakeScorer:
    packages: Mapping[str, FilterPackage]

    def score(self, inputs: Sequence[ScorerInput]) -> list[dict[str, np.ndarray]]:
        return [{name: self._raw(name, item.text) for name in item.filters} for item in inputs]

    def _raw(self, name: str, text: str) -> np.ndarray:
        if name == COMMERCE:
            return numbers(name + text, 1) * 8 - 4
        return numbers(name + text, len(self.packages[name].spec.dimensions)) * 10


EMBEDDING_ALONE = CommerceThresholds(rejected_at=0.8)


def fake_cascade(
    packages: Mapping[str, FilterPackage],
    commerce: CommerceThresholds = EMBEDDING_ALONE,
    gates: bool = True,
) -> Cascade:
    models = Models(FakeEncoder(), FakeProbes(packages), FakeScorer(packages), commerce)
    releases = ReleaseSet({name: (p.spec.version, p.manifest_sha256) for name, p in packages.items()})
    return Cascade(releases, packages, models, gates)
