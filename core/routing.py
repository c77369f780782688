"""Which scored articles are sent to the oracle, and with what probability.

Pure: the decision for (article, filter) follows from the article's id alone, so a redelivered article is
decided alike and the stated probability is exact over ids. The budget thins later, in the oracle stage.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from core.spec import FilterSpec

Reason = Literal["near_threshold", "audit", "gate_audit"]

_SEED = "stillhouse-routing-1"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the router looks at: weighted scores on 0-10, None where a stage did not run."""

    weighted: float
    interval: tuple[float, float] | None
    probe_weighted: float | None = None


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """`propensity` is the probability with which this (article, filter) was to be asked."""

    propensity: float
    reason: Reason | None


def uniform(article_id: str, salt: str) -> float:
    """A uniform number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.blake2b(f"{_SEED}|{salt}|{article_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def propensity(spec: FilterSpec, evidence: Evidence) -> tuple[float, Reason]:
    """Probability of asking the oracle, and the reason that dominates it.

    Highest at a tier threshold and falling linearly to the edge of the margin, which is the wider of the
    configured margin and the half-width of the article's own interval. Disagreement of probe and scorer
    raises it. Never below the audit rate.
    """
    policy = spec.routing
    low, high = evidence.interval or (evidence.weighted, evidence.weighted)
    margin = max(policy.margin, (high - low) / 2, 1e-9)
    distance = min(abs(evidence.weighted - tier.at_least) for tier in spec.tiers)
    nearness = max(0.0, 1 - distance / margin)
    if evidence.probe_weighted is not None:
        disagreement = abs(evidence.weighted - evidence.probe_weighted) / 10
        nearness = min(1.0, nearness + disagreement * (nearness > 0 or disagreement > 0.2))
    near = policy.near_threshold_rate * nearness
    if near > policy.audit_rate:
        return near, "near_threshold"
    return policy.audit_rate, "audit"


def route(spec: FilterSpec, article_id: str, evidence: Evidence) -> RoutingDecision:
    """Decide for one scored (article, filter); accepted exactly with the stated probability."""
    probability, reason = propensity(spec, evidence)
    accepted = uniform(article_id, f"route:{spec.name}") < probability
    return RoutingDecision(propensity=probability, reason=reason if accepted else None)


def audits_closed(spec: FilterSpec, article_id: str) -> bool:
    """True if a filter that the gate closed is scored all the same, at the audit rate."""
    return uniform(article_id, f"gate-audit:{spec.name}") < spec.routing.audit_rate


def route_audited(spec: FilterSpec) -> RoutingDecision:
    """Decide for a filter that `audits_closed` had scored: always asked, so its propensity is that of the audit.

    These labels alone say what the gate misses; thinned once more by `route`, none would ever arrive.
    """
    return RoutingDecision(propensity=spec.routing.audit_rate, reason="gate_audit")
