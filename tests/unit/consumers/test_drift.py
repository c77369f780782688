import random

import pytest

from consumers.drift import MIN_SAMPLE, DriftWindow


def drift_of(draw, count: int = 4_000, seed: int = 1) -> float | None:
    rng, window = random.Random(seed), DriftWindow()
    for _ in range(count // 50):
        window.add([draw(rng) for _ in range(50)])
    return window.stability_index()


def test_a_stream_like_the_reference_shows_none():
    for seed in range(20):
        index = drift_of(lambda rng: rng.uniform(0, 100), seed=seed)
        assert index is not None
        assert index < 0.05


def test_a_changed_stream_is_seen_and_more_change_is_more():
    mild = drift_of(lambda rng: min(100, max(0, rng.gauss(58, 29))))
    strong = drift_of(lambda rng: rng.triangular(40, 100, 95))
    assert mild is not None
    assert strong is not None
    assert strong > 0.2 > mild


def test_the_past_fades():
    rng, window = random.Random(2), DriftWindow(half_life=500)
    window.add([95.0] * 4_000)
    changed = window.stability_index()
    for _ in range(200):
        window.add([rng.uniform(0, 100) for _ in range(50)])
    recovered = window.stability_index()
    assert changed is not None
    assert recovered is not None
    assert changed > 1 > 0.1 > recovered


@pytest.mark.parametrize("count", [0, 1, MIN_SAMPLE - 1])
def test_too_few_say_nothing(count: int):
    window = DriftWindow()
    window.add([50.0] * count)
    assert window.stability_index() is None


def test_values_at_and_beyond_the_edges_count():
    window = DriftWindow()
    window.add([-3.0, 0.0, 100.0, 140.0] * 100)
    assert window.stability_index() is not None
