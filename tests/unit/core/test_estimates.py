import numpy as np
import pytest

from core.estimates import weighted_mean, weighted_recall

DAYS = 200


def simulated_day(rng: np.random.Generator, articles: int, audit_rate: float):
    """A stream with few relevant articles, a gate, a compressing scorer and the router's kind of propensities."""
    relevant = rng.random(articles) < 0.1
    truth = np.where(relevant, rng.gamma(6, 0.7, articles), rng.gamma(1, 0.35, articles)).clip(0, 10)
    predicted = (truth * 0.9 + rng.normal(0, 0.2 + 0.15 * truth, articles)).clip(0, 10)
    gate = truth + rng.normal(0, 0.9, articles)
    is_open = gate > np.quantile(gate, 0.6)
    distance = np.minimum(np.abs(predicted - 7), np.abs(predicted - 4))
    near = 0.5 * np.clip(1 - distance / np.maximum(0.5, 0.3 + 0.15 * predicted), 0, 1)
    return truth, predicted, is_open, np.where(is_open, np.maximum(audit_rate, near), audit_rate)


@pytest.mark.parametrize(
    ("articles", "audit_rate"), [(3_000, 0.02), (20_000, 0.005), (3_000, 0.1)], ids=["usual", "large-day", "much-audit"]
)
def test_intervals_cover_the_truth_on_93_percent_of_days(articles, audit_rate):
    covered: dict[str, list[bool]] = {"mae": [], "gate": [], "tier": []}
    for seed in range(DAYS):
        rng = np.random.default_rng(seed)
        truth, predicted, is_open, propensity = simulated_day(rng, articles, audit_rate)
        asked = rng.random(articles) < propensity
        error, p = np.abs(predicted - truth), propensity[asked]
        relevant, high, placed = truth >= 2, truth >= 4, is_open & (predicted >= 4)
        facts = {
            "mae": (weighted_mean(error[asked], p), error.mean()),
            "gate": (weighted_recall(is_open[asked], relevant[asked], p), (is_open & relevant).sum() / relevant.sum()),
            "tier": (weighted_recall(placed[asked], high[asked], p), (placed & high).sum() / high.sum()),
        }
        for name, (estimate, fact) in facts.items():
            if estimate is not None:
                covered[name].append(estimate.low <= fact <= estimate.high)
    assert {name: len(days) for name, days in covered.items()} == dict.fromkeys(covered, DAYS)
    shares = {name: float(np.mean(days)) for name, days in covered.items()}
    assert all(share >= 0.93 for share in shares.values()), shares


def test_the_plain_mean_of_routed_labels_is_wrong_and_the_weighted_one_is_not():
    rng = np.random.default_rng(1)
    truth, predicted, _, propensity = simulated_day(rng, 50_000, 0.02)
    asked = rng.random(len(truth)) < propensity
    error = np.abs(predicted - truth)
    estimate = weighted_mean(error[asked], propensity[asked])
    assert estimate is not None
    assert estimate.value == pytest.approx(error.mean(), rel=0.1)
    assert error[asked].mean() > 1.5 * error.mean()


def test_a_day_that_was_asked_whole_is_known_exactly():
    certain = np.ones(4)
    mean = weighted_mean(np.array([1.0, 2.0, 3.0, 2.0]), certain)
    recall = weighted_recall(np.array([True, True, False, False]), np.array([True, True, True, False]), certain)
    assert mean is not None
    assert recall is not None
    assert (mean.low, mean.value, mean.high) == (2, 2, 2)
    assert (recall.low, recall.value, recall.high) == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_few_audit_labels_without_a_miss_do_not_claim_certainty():
    propensity = np.array([0.5] * 20 + [0.005] * 5)
    relevant = np.array([True] * 20 + [False] * 5)
    recall = weighted_recall(relevant.copy(), relevant, propensity)
    assert recall is not None
    assert recall.value == 1
    assert recall.low < 0.5


def test_nothing_to_say_is_none():
    assert weighted_mean(np.array([1.0]), np.array([0.5])) is None
    assert weighted_recall(np.array([False]), np.array([False]), np.array([0.5])) is None
