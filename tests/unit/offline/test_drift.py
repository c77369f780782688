import numpy as np
import pytest

from offline.drift import Drift, mean_shift, mix_psi, score_psi, stability_index


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def test_samples_of_one_stream_are_stable(rng):
    a, b = rng.gamma(1, 0.4, (2, 2_000))
    assert score_psi(a, b) < 0.02
    vectors = rng.standard_normal((2, 500, 32)).astype(np.float32)
    assert mean_shift(vectors[0], vectors[1]) == pytest.approx(1, abs=0.6)


def test_a_shifted_stream_is_seen(rng):
    assert score_psi(rng.gamma(1, 0.4, 2_000), rng.gamma(2, 0.4, 2_000)) > 0.2
    vectors = rng.standard_normal((2, 500, 32)).astype(np.float32)
    assert mean_shift(vectors[0], vectors[1] + 0.3) > 5


def test_a_new_language_moves_the_mix():
    before = ["en"] * 80 + ["nl"] * 20
    assert mix_psi(before, ["en"] * 78 + ["nl"] * 22) < 0.01
    assert mix_psi(before, ["en"] * 50 + ["nl"] * 20 + ["el"] * 30) > 0.2


def test_the_index_is_symmetric_zero_for_equals_and_finite():
    assert stability_index([1, 2, 3], [2, 4, 6]) == pytest.approx(0)
    assert stability_index([10, 0], [0, 10]) == pytest.approx(stability_index([0, 10], [10, 0]))
    assert np.isfinite(stability_index([10, 0], [0, 10]))


def test_readings_name_what_changed():
    drift = Drift(100, 100, probe_psi=0.15, language_psi=0.3, source_psi=0.01, embedding_shift=6.0)
    assert drift.readings() == {"probe": "watch", "languages": "changed", "sources": "stable", "embeddings": "changed"}
    assert "probe" not in Drift(1, 1, None, 0, 0, 1).readings()
