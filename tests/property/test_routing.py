"""Routing: every decision is reproducible, and articles are accepted exactly as often as their probability says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from core.routing import Evidence, audits_closed, propensity, route, uniform
from core.spec import FilterSpec
from tests.support.specs import CONFIG

SPEC = FilterSpec.model_validate(CONFIG)
RATES = FilterSpec.model_validate(CONFIG | {"routing": {"near_threshold_rate": 0.95, "audit_rate": 0.02, "margin": 2}})
scores = st.floats(0, 10)


@st.composite
def evidence(draw) -> Evidence:
    weighted, width = draw(scores), draw(st.floats(0, 3))
    interval = (max(0.0, weighted - width), min(10.0, weighted + width))
    return Evidence(weighted, draw(st.sampled_from([None, interval])), draw(st.none() | scores))


@given(evidence())
def test_a_probability_lies_between_the_audit_rate_and_the_highest_rate(seen: Evidence) -> None:
    probability, reason = propensity(SPEC, seen)
    assert SPEC.routing.audit_rate <= probability <= SPEC.routing.near_threshold_rate
    assert (reason == "audit") == (probability == SPEC.routing.audit_rate)


@given(scores, scores)
def test_nearer_to_the_only_threshold_is_asked_no_less(one: float, two: float) -> None:
    spec = FilterSpec.model_validate(CONFIG | {"tiers": [{"name": "high", "at_least": 5}]})
    near, far = sorted((one, two), key=lambda score: abs(score - 5))
    assert propensity(spec, Evidence(near, None))[0] >= propensity(spec, Evidence(far, None))[0]


@given(evidence(), scores)
def test_disagreement_of_probe_and_scorer_never_lowers_the_probability(seen: Evidence, probe: float) -> None:
    agreed = Evidence(seen.weighted, seen.interval, seen.weighted)
    apart = Evidence(seen.weighted, seen.interval, probe)
    assert propensity(SPEC, apart)[0] >= propensity(SPEC, agreed)[0]


@given(st.text(), evidence())
def test_an_article_is_decided_alike_every_time(article_id: str, seen: Evidence) -> None:
    assert route(SPEC, article_id, seen) == route(SPEC, article_id, seen)


def test_the_accepted_share_matches_the_probability_in_every_decile() -> None:
    """20,000 decisions at all distances; each decile's count lies within its 99.99% binomial interval."""
    rng = np.random.default_rng(7)
    weighted = rng.uniform(0, 10, 20_000)
    probes = np.clip(weighted + rng.normal(0, 1.5, weighted.size), 0, 10)
    decisions = [
        route(RATES, f"article-{number}", Evidence(float(score), None, float(probe)))
        for number, (score, probe) in enumerate(zip(weighted, probes, strict=True))
    ]
    stated = np.array([decision.propensity for decision in decisions])
    accepted = np.array([decision.reason is not None for decision in decisions])
    for part in np.array_split(np.argsort(stated, kind="stable"), 10):
        expected, found = stated[part].mean(), int(accepted[part].sum())
        assert binomtest(found, len(part), expected).pvalue > 1e-4, (expected, found / len(part))


def test_the_audit_of_closed_filters_has_its_stated_rate_and_is_independent_of_routing() -> None:
    ids = [f"article-{number}" for number in range(20_000)]
    audited = [audits_closed(RATES, article_id) for article_id in ids]
    assert binomtest(sum(audited), len(ids), RATES.routing.audit_rate).pvalue > 1e-4
    drawn = np.array([uniform(article_id, f"route:{RATES.name}") for article_id in ids])
    assert abs(drawn[np.array(audited)].mean() - 0.5) < 0.08


@given(st.text(), st.text())
def test_uniform_numbers_lie_in_the_unit_interval(article_id: str, salt: str) -> None:
    assert 0 <= uniform(article_id, salt) < 1
