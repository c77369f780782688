import numpy as np
import pytest

from offline.splits import near_duplicate_groups, split


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def vectors(rng: np.random.Generator) -> np.ndarray:
    return unit(rng.normal(size=(300, 32)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def names(count: int) -> list[str]:
    return [f"a{i}" for i in range(count)]


def test_near_duplicates_share_a_group_through_a_chain(vectors: np.ndarray) -> None:
    a = vectors[0]
    b = unit((a + 0.15 * vectors[1])[None])[0]
    c = unit((b + 0.15 * vectors[1])[None])[0]
    groups = near_duplicate_groups(np.stack([a, vectors[2], b, c]), threshold=0.985)
    assert groups[0] == groups[2] == groups[3] != groups[1]


def test_no_near_duplicate_crosses_the_split(vectors: np.ndarray, rng: np.random.Generator) -> None:
    copies = unit(vectors[:100] + 0.01 * rng.normal(size=(100, 32)))
    both = np.concatenate([vectors, copies])
    sides = split(names(400), near_duplicate_groups(both), {})
    assert all(sides[f"a{i}"] == sides[f"a{300 + i}"] for i in range(100))


def test_every_stratum_reaches_every_side(vectors: np.ndarray) -> None:
    strata = {f"a{i}": "rare" if i % 10 == 0 else "common" for i in range(300)}
    sides = split(names(300), near_duplicate_groups(vectors), strata)
    for stratum, total in (("rare", 30), ("common", 270)):
        counts = {side: sum(sides[n] == side for n in strata if strata[n] == stratum) for side in ("val", "test")}
        assert counts == {"val": pytest.approx(total / 10, abs=1), "test": pytest.approx(total / 10, abs=1)}


def test_the_seed_alone_decides(vectors: np.ndarray) -> None:
    groups = near_duplicate_groups(vectors)
    assert split(names(300), groups, {}, seed=1) == split(names(300), groups, {}, seed=1)
    assert split(names(300), groups, {}, seed=1) != split(names(300), groups, {}, seed=2)


def test_settled_sides_are_kept_and_their_duplicates_follow(vectors: np.ndarray) -> None:
    both = np.concatenate([vectors, vectors[:3]])
    fixed = {"a0": "train", "a1": "test", "a300": "val"}
    sides = split(names(303), near_duplicate_groups(both), {}, fixed=fixed)
    assert sides["a0"] == "train"
    assert sides["a1"] == "test"
    assert sides["a301"] == "test", "a copy of a test article must not be trained on"
    assert sides["a300"] == "val", "what was settled stays as it was"


def test_untested_articles_train_instead_and_the_rest_is_dealt_as_before(vectors: np.ndarray) -> None:
    both = np.concatenate([vectors, vectors[:1]])
    strata = {f"a{i}": "sure" if i < 150 else "unsure" for i in range(300)} | {"a300": "sure"}
    untested = {f"a{i}" for i in range(150, 300)}
    groups = near_duplicate_groups(both)
    before, after = split(names(301), groups, strata), split(names(301), groups, strata, untested=untested)
    moved = {name for name in untested if before[name] == "test"}
    assert len(moved) == pytest.approx(15, abs=1)
    assert after == before | dict.fromkeys(moved, "train")
