import numpy as np
import pytest

from offline.screening import NEAR_DUPLICATE, screen


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def cloud(rng, centre: np.ndarray, count: int, spread: float = 2.5) -> np.ndarray:
    return unit(centre + spread * rng.standard_normal((count, len(centre))) / np.sqrt(len(centre)))


NONE = np.zeros((0, 32), dtype=np.float32)


def test_likeness_to_positives_finds_the_needles(rng):
    needle, hay = rng.standard_normal((2, 32))
    candidates = np.concatenate([cloud(rng, hay, 180), cloud(rng, needle, 20)])
    picks = screen(candidates, cloud(rng, needle, 5), NONE, None, top=20)
    assert sum(pick.row >= 180 for pick in picks) >= 15


def test_the_probe_decides_where_no_positive_is_known(rng):
    candidates = unit(rng.standard_normal((50, 32)))
    probe = np.linspace(0, 1, 50)
    rows = {pick.row for pick in screen(candidates, NONE, NONE, probe, top=10)}
    assert rows <= set(range(30, 50))


def test_near_copies_are_taken_once_and_known_articles_never(rng):
    centre = rng.standard_normal(32)
    distinct = unit(rng.standard_normal((10, 32)))
    copies = cloud(rng, centre, 30, spread=0.01)
    candidates = np.concatenate([copies, distinct])
    picks = screen(candidates, unit(centre[None]), distinct[:3], None, top=40)
    assert len(picks) == 1 + 7  # of 30 copies one, of 10 others the 3 known ones are left out
    chosen = candidates[[pick.row for pick in picks]]
    cosines = chosen @ chosen.T - 2 * np.eye(len(chosen))
    assert cosines.max() < NEAR_DUPLICATE


@pytest.mark.parametrize("top", [1, 5])
def test_empty_input_and_top(rng, top):
    assert screen(NONE, NONE, NONE, None, top) == []
    assert len(screen(unit(rng.standard_normal((9, 32))), NONE, NONE, None, top)) == top
