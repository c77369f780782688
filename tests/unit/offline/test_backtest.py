import numpy as np
import pytest

from core.spec import FilterSpec
from offline.backtest import Plan, Point, Pool, _draw, backtest, mean_by_share, needed_share
from offline.policies import DEFAULT, NearThreshold, Random, RandomisedUncertainty, View, scaled
from tests.support.specs import CONFIG

SPEC = FilterSpec.model_validate(CONFIG | {"gatekeepers": []})


@pytest.fixture(scope="module")
def pool() -> Pool:
    rng = np.random.default_rng(5)
    embeddings = rng.standard_normal((500, 24)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    truth = np.clip(4 + embeddings @ rng.standard_normal((24, 2)) * 2 + rng.normal(0, 0.3, (500, 2)), 0, 10)
    return Pool(SPEC, embeddings, truth.astype(np.float32))


def test_all_policies_end_at_the_same_quality_and_buy_what_they_may(pool):
    plan = Plan(seeds=2, shares=(0.1, 0.5, 1.0))
    points = backtest(pool, plan)
    assert {point.policy for point in points} == {policy.name for policy in DEFAULT}
    for point in points:
        assert point.labels == pytest.approx(point.share * 400, abs=2)
    ends = [mean_by_share(points, policy.name) for policy in DEFAULT]
    for means in ends:
        assert means[1.0].mae <= means[0.1].mae
    assert np.ptp([means[1.0].mae for means in ends]) < 0.05


def test_the_same_seed_gives_the_same_points(pool):
    plan = Plan(seeds=1, shares=(0.1, 0.3))
    assert backtest(pool, plan) == backtest(pool, plan)


@pytest.mark.parametrize("policy", DEFAULT, ids=lambda policy: policy.name)
def test_every_article_keeps_a_chance(policy):
    view = View(np.random.default_rng(0).normal(3, 2, (4, 300)), [7, 4])
    chances = scaled(policy.wish(view), 30)
    assert chances.sum() == pytest.approx(30)
    assert chances.min() > 0
    assert chances.max() <= 1


def test_policies_look_where_they_say():
    view = View(np.array([[4.0, 0.5, 6.8, 1.0], [4.0, 0.5, 6.8, 9.0]]), [7, 4])
    assert np.argsort(NearThreshold().wish(view))[-1] in (0, 2)
    assert np.argmax(RandomisedUncertainty().wish(view)) == 3
    assert len(set(Random().wish(view))) == 1


def test_drawn_shares_match_the_chances():
    rng = np.random.default_rng(2)
    chances = scaled(np.linspace(1, 9, 50), 10)
    counts = sum(np.bincount(_draw(rng, chances, 10), minlength=50) for _ in range(4_000))
    assert np.abs(counts / 4_000 - chances).max() < 0.04


def test_needed_share_compares_with_all_labels():
    points = [
        Point("p", 0, share, 1, mae, 0.5, 0.5) for share, mae in ((0.1, 0.9), (0.3, 0.61), (0.6, 0.6), (1.0, 0.6))
    ]
    assert needed_share(points, "p", tolerance=0.02) == 0.3
    assert needed_share([points[0], points[-1]], "p") is None
