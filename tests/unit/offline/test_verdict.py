import numpy as np
import pytest

from core.spec import FilterSpec
from offline.verdict import judge
from tests.support.specs import CONFIG

SPEC = FilterSpec.model_validate(CONFIG)


@pytest.fixture
def truth() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.where(rng.random(400) < 0.15, rng.uniform(2, 9, 400), rng.uniform(0, 1, 400)).astype(np.float32)


def noisy(truth: np.ndarray, scale: float, seed: int) -> np.ndarray:
    return (truth + np.random.default_rng(seed).normal(0, scale, len(truth))).clip(0, 10).astype(np.float32)


def test_a_better_candidate_is_accepted(truth):
    verdict = judge(SPEC, truth, noisy(truth, 0.3, 1), noisy(truth, 0.5, 2))
    assert verdict.accepted
    assert verdict.mae_difference is not None
    assert verdict.mae_difference.high < 0


def test_the_same_predictions_are_accepted(truth):
    same = noisy(truth, 0.4, 1)
    verdict = judge(SPEC, truth, same, same)
    assert verdict.accepted
    assert verdict.mae_difference is not None
    assert verdict.mae_difference.mean == 0


def test_a_worse_candidate_is_refused_with_numbers(truth):
    verdict = judge(SPEC, truth, noisy(truth, 0.6, 1), noisy(truth, 0.4, 2))
    assert not verdict.accepted
    assert "MAE" in verdict.refusals[0]


def test_a_candidate_that_ranks_worse_is_refused(truth):
    blind = np.where(truth >= 2, 0.5, truth).astype(np.float32)
    verdict = judge(SPEC, truth, blind, truth)
    assert any("average precision" in refusal for refusal in verdict.refusals)


@pytest.mark.parametrize(
    ("bars", "text"),
    [({"max_mae": 0.1}, "max_mae"), ({"min_spearman": 0.99}, "min_spearman"),
     ({"min_average_precision": 1.0}, "min_average_precision")],
    ids=["mae", "spearman", "average-precision"],
)  # fmt: skip
def test_bars_of_the_config_hold_without_a_current_version(truth, bars, text):
    spec = FilterSpec.model_validate(CONFIG | {"bars": bars})
    verdict = judge(spec, truth, noisy(truth, 0.8, 1), None)
    assert [text in refusal for refusal in verdict.refusals] == [True]
    assert judge(SPEC, truth, noisy(truth, 0.8, 1), None).accepted


def test_a_bar_that_cannot_be_measured_counts_as_missed():
    spec = FilterSpec.model_validate(CONFIG | {"bars": {"min_average_precision": 0.5}})
    verdict = judge(spec, np.zeros(50, dtype=np.float32), np.zeros(50, dtype=np.float32), None)
    assert "cannot be measured" in verdict.refusals[0]
