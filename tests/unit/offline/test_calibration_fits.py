import numpy as np
import pytest

from core.calibration import Calibration, ConformalBand
from core.scoring import weigh
from core.spec import Gatekeeper
from offline.calibration import (
    apply_curves,
    fit_band,
    fit_curves,
    fit_gate,
    fit_normalisation,
    miss_rate_bound,
    out_of_fold,
)
from offline.training.targets import weighted_scores
from tests.unit.offline.tiny_gemma import tiny_spec


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def compressed(rng: np.random.Generator, count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Oracle scores with many near 0, and predictions that are noisy and pulled to the mean."""
    truth = np.clip(rng.gamma(0.6, 2.5, size=(count, 2)), 0, 10)
    guess = 0.5 * truth + 0.8 + rng.normal(scale=0.4, size=truth.shape)
    return guess.astype(np.float32), truth.astype(np.float32)


def test_curves_undo_compression_on_new_articles(rng: np.random.Generator) -> None:
    spec = tiny_spec()
    guess, truth = compressed(rng)
    curves = fit_curves(spec, guess, truth, np.ones(len(truth)))
    fresh_guess, fresh_truth = compressed(rng)
    scores = weighted_scores(spec, apply_curves(spec, curves, fresh_guess))
    oracle = weighted_scores(spec, fresh_truth)
    raw = weighted_scores(spec, fresh_guess)
    assert 0.9 <= scores.std() / oracle.std() <= 1.15
    assert np.abs(scores - oracle).mean() < np.abs(raw - oracle).mean()


def test_many_rows_at_once_equal_the_stream(rng: np.random.Generator) -> None:
    spec = tiny_spec().model_copy(update={"gatekeepers": (Gatekeeper(dimension="depth", below=3, cap=2.5),)})
    guess, truth = compressed(rng, 80)
    curves = fit_curves(spec, guess, truth, np.ones(80))
    scores = apply_curves(spec, curves, guess)
    calibration = Calibration(scorer=curves)
    for row, raw, weighted in zip(scores, guess, weighted_scores(spec, scores), strict=True):
        one = calibration.apply("scorer", spec.dimension_names, raw)
        assert list(one.values()) == pytest.approx(row.tolist(), abs=1e-6)
        assert weigh(spec, one).value == pytest.approx(float(weighted), abs=0.011)


def test_miss_rate_bound_is_clopper_pearsons() -> None:
    # 0 of n: 1 - 0.05 ** (1 / n); 2 of 100 is tabulated as .0616.
    assert miss_rate_bound(0, 149) == pytest.approx(1 - 0.05 ** (1 / 149))
    assert miss_rate_bound(2, 100) == pytest.approx(0.0616, abs=2e-4)
    assert miss_rate_bound(5, 5) == 1.0


def test_gate_takes_the_highest_threshold_within_the_target(rng: np.random.Generator) -> None:
    relevant = np.arange(2000) < 200
    scores = np.where(relevant, rng.beta(5, 2, 2000), rng.beta(2, 6, 2000))
    gate = fit_gate(scores, relevant, 0.02)
    assert gate.threshold is not None
    assert gate.misses == int((scores[relevant] < gate.threshold).sum()) <= 4
    assert (scores[relevant] < gate.threshold + 0.05).sum() > 4, "a higher threshold would miss too many"
    assert gate.miss_rate_upper95 == pytest.approx(miss_rate_bound(gate.misses, 200), abs=1e-4)
    assert gate.closed_share == pytest.approx((scores < gate.threshold).mean(), abs=1e-4)


@pytest.mark.parametrize("positives", [0, 5, 30], ids=["none", "few", "almost enough"])
def test_too_few_positives_leave_the_gate_open_and_say_so(rng: np.random.Generator, positives: int) -> None:
    gate = fit_gate(rng.random(500), np.arange(500) < positives, 0.02)
    assert gate.threshold is None
    assert gate.is_open(0.0)
    assert f"{positives} relevant" in gate.note


def draw_residuals(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weighted = rng.uniform(0, 8, count)
    gap = np.abs(rng.normal(scale=0.3, size=count))
    noise = rng.normal(size=count) * (0.05 + 0.1 * weighted + 0.8 * gap)
    return weighted, gap, weighted + noise


def covered(band: ConformalBand, weighted: np.ndarray, gap: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """Share inside, and every width."""
    limits = np.array([band.interval(float(w), float(g)) for w, g in zip(weighted, gap, strict=True)])
    inside = (np.clip(truth, 0, 10) >= limits[:, 0]) & (np.clip(truth, 0, 10) <= limits[:, 1])
    return float(inside.mean()), limits[:, 1] - limits[:, 0]


def test_band_covers_nine_in_ten_of_new_articles_and_is_wider_where_it_is_hard(rng: np.random.Generator) -> None:
    band = fit_band(*draw_residuals(rng, 800))
    assert band is not None
    weighted, gap, truth = draw_residuals(rng, 4000)
    inside, width = covered(band, weighted, gap, truth)
    assert 0.87 <= inside <= 0.94
    assert width[(weighted > 4) & (weighted < 6)].mean() > 2 * width[weighted < 1].mean()
    assert width[gap > 0.5].mean() > width[gap < 0.1].mean()


def test_bands_of_few_articles_cover_nine_in_ten_on_average(rng: np.random.Generator) -> None:
    bands = [fit_band(*draw_residuals(rng, 40)) for _ in range(100)]
    shares = [covered(band, *draw_residuals(rng, 300))[0] for band in bands if band is not None]
    assert 0.892 <= np.mean(shares) <= 0.93, "a difficulty fitted to the residuals that it normalises held 87.7%"


def test_band_needs_enough_articles() -> None:
    assert fit_band(np.ones(5), np.zeros(5), np.ones(5)) is None


def test_percentiles_need_a_minimum_sample(rng: np.random.Generator) -> None:
    small = fit_normalisation(rng.random(24).astype(np.float32))
    assert small.percentile(9.17) is None
    large = fit_normalisation((10 * rng.random(1000)).astype(np.float32))
    assert large.percentile(5.0) == pytest.approx(50, abs=5)
    assert large.percentile(10.0) == pytest.approx(100, abs=1)


def test_out_of_fold_predictions_never_saw_their_row() -> None:
    seen = out_of_fold(50, lambda fit, rest: np.array([float(row in set(fit)) for row in rest]))
    assert not seen.any()
