"""Routing: every decision is reproducible, and articles are accepted exactly as often as their probability says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from core.routing import Policies, audits_closed, uniform
from core.spec import FilterSpec
from tests.support.specs import CONFIG

SPEC = FilterSpec.model_validate(CONFIG)
RATES = FilterSpec.model_validate(CONFIG | {"routing": {"near_threshold_rate": 0.95, "audit_rate": 0.02, "margin": 2}})
OTHER = FilterSpec.model_validate(CONFIG | {"name": "other", "routing": {"near_threshold_rate": 0.5, "margin": 1}})
UNKNOWN = (float("nan"), float("nan"))
scores = st.floats(0, 10)


@st.composite
def evidence(draw) -> tuple[float, tuple[float, float], float]:
    """Weighted score, interval (not a number where there is none), and distance of probe and scorer."""
    weighted, width = draw(scores), draw(st.floats(0, 3))
    interval = (max(0.0, weighted - width), min(10.0, weighted + width))
    return weighted, draw(st.sampled_from([UNKNOWN, interval])), draw(scores)


def propensity(spec: FilterSpec, weighted: float, interval: tuple[float, float], gap: float) -> float:
    one, low, high, apart = (np.array([[value]]) for value in (weighted, *interval, gap))
    return Policies.of([spec]).propensity(one, (low, high), apart).item()


@given(evidence())
def test_a_probability_lies_between_the_audit_rate_and_the_highest_rate(seen) -> None:
    assert SPEC.routing.audit_rate <= propensity(SPEC, *seen) <= SPEC.routing.near_threshold_rate


@given(scores, scores)
def test_nearer_to_the_only_threshold_is_asked_no_less(one: float, two: float) -> None:
    spec = FilterSpec.model_validate(CONFIG | {"tiers": [{"name": "high", "at_least": 5}]})
    near, far = sorted((one, two), key=lambda score: abs(score - 5))
    assert propensity(spec, near, UNKNOWN, 0) >= propensity(spec, far, UNKNOWN, 0)


@given(evidence())
def test_disagreement_of_probe_and_scorer_never_lowers_the_probability(seen) -> None:
    weighted, interval, gap = seen
    assert propensity(SPEC, weighted, interval, gap) >= propensity(SPEC, weighted, interval, 0)


@given(st.lists(st.text(), min_size=1, max_size=4, unique=True))
def test_a_draw_depends_on_article_and_filter_alone(article_ids) -> None:
    both = Policies.of([SPEC, OTHER])
    together = both.draws(article_ids)
    for row, article_id in enumerate(article_ids):
        assert both.draws([article_id]).tolist() == [together[row].tolist()]
        assert Policies.of([OTHER]).draws([article_id]).item() == together[row, 1]


def test_the_accepted_share_matches_the_probability_in_every_decile() -> None:
    """20,000 articles at all distances and two filters; each decile's count lies within its 99.99% interval."""
    rng = np.random.default_rng(7)
    weighted = rng.uniform(0, 10, (20_000, 2))
    gap = np.abs(rng.normal(0, 1.5, weighted.shape))
    policies, nowhere = Policies.of([RATES, OTHER]), np.full(weighted.shape, np.nan)
    stated = policies.propensity(weighted, (nowhere, nowhere), gap)
    draws = policies.draws([f"article-{number}" for number in range(len(weighted))])
    accepted = draws < stated
    for column in (0, 1):
        for part in np.array_split(np.argsort(stated[:, column], kind="stable"), 10):
            expected, found = stated[part, column].mean(), int(accepted[part, column].sum())
            assert binomtest(found, len(part), expected).pvalue > 1e-4, (expected, found / len(part))
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.03, "two filters draw independently"


def test_the_audit_of_closed_filters_has_its_stated_rate_and_is_independent_of_routing() -> None:
    ids = [f"article-{number}" for number in range(20_000)]
    audited = [audits_closed(RATES, article_id) for article_id in ids]
    assert binomtest(sum(audited), len(ids), RATES.routing.audit_rate).pvalue > 1e-4
    drawn = Policies.of([RATES]).draws(ids)[:, 0]
    assert abs(drawn[np.array(audited)].mean() - 0.5) < 0.08


@given(st.text(), st.text())
def test_uniform_numbers_lie_in_the_unit_interval(article_id: str, salt: str) -> None:
    assert 0 <= uniform(article_id, salt) < 1
