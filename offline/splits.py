"""Grouped, stratified 80/10/10 split. Near-duplicates stay on one side; the same seed gives the same split."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Side = Literal["train", "val", "test"]
SHARES: dict[Side, float] = {"test": 0.1, "val": 0.1}
NEAR_DUPLICATE = 0.97
"""Cosine of e5 embeddings. Parallel translations reach .93-.95, unrelated articles .76-.79."""
_BLOCK = 1024


def near_duplicate_groups(embeddings: NDArray[np.float32], threshold: float = NEAR_DUPLICATE) -> NDArray[np.int64]:
    """Group number of each row: rows linked by a chain of cosines >= threshold share one.

    Args:
        embeddings: [n, width], unit length.
    """
    parent = np.arange(len(embeddings))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for start in range(0, len(embeddings), _BLOCK):
        block = embeddings[start : start + _BLOCK] @ embeddings[start:].T
        for a, b in zip(*np.nonzero(block >= threshold), strict=True):
            if a < b:
                parent[root(start + int(b))] = root(start + int(a))
    return np.array([root(i) for i in range(len(embeddings))], dtype=np.int64)


def split(
    ids: Sequence[str],
    groups: NDArray[np.int64],
    strata: Mapping[str, str],
    seed: int = 0,
    fixed: Mapping[str, Side] | None = None,
    untested: Set[str] = frozenset(),
) -> dict[str, Side]:
    """Side of every article. Within each stratum whole groups are dealt out in the order of their seeded hash.

    Args:
        strata: a label to balance by (for example the rarest filter that an article is relevant to).
        fixed: sides that are already settled (what a trunk has learned from must not be tested on); a group with
            such a member follows it.
        untested: articles that are no test; a group with such a member trains instead.
    """
    members: dict[int, list[str]] = defaultdict(list)
    for name, group in zip(ids, groups, strict=True):
        members[int(group)].append(name)
    by_stratum: dict[str, list[list[str]]] = defaultdict(list)
    for names in members.values():
        by_stratum[min(strata.get(name, "") for name in names)].append(sorted(names))
    sides: dict[str, Side] = {}
    settled = fixed or {}
    for names in members.values():
        if known := [settled[name] for name in names if name in settled]:
            # Whatever training has seen is training, for the whole group.
            follow: Side = "train" if "train" in known else known[0]
            sides |= {name: settled.get(name, follow) for name in names}
    for stratum in sorted(by_stratum):
        dealt = [names for names in by_stratum[stratum] if names[0] not in sides]
        dealt.sort(key=lambda names: _hash(seed, names[0]))
        total, used = sum(map(len, dealt)), 0
        for names in dealt:
            # The middle of the group decides, so that strata of few articles still reach every side on average.
            side = _side((used + len(names) / 2) / total)
            used += len(names)
            if side == "test" and not untested.isdisjoint(names):
                side = "train"
            sides |= dict.fromkeys(names, side)
    return sides


def _side(position: float) -> Side:
    if position < SHARES["test"]:
        return "test"
    return "val" if position < SHARES["test"] + SHARES["val"] else "train"


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
