"""Which scored articles are sent to the oracle, and with what probability.

Pure: the decision for (article, filter) follows from the article's id alone, so a redelivered article is
decided alike and the stated probability is exact over ids. The budget thins later, in the oracle stage.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.spec import FilterSpec

Reason = Literal["near_threshold", "audit", "gate_audit"]
Numbers = NDArray[np.float64]

_SEED = "stillhouse-routing-1"


def uniform(article_id: str, salt: str) -> float:
    """A uniform number in [0, 1) that depends on nothing but its arguments."""
    return _hash(article_id, salt) / 2**64


def _hash(text: str, salt: str) -> int:
    digest = hashlib.blake2b(f"{_SEED}|{salt}|{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _mix(states: NDArray[np.uint64]) -> Numbers:
    """Uniform numbers in [0, 1): the output function of SplitMix64 (Steele et al. 2014)."""
    states = (states ^ (states >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    states = (states ^ (states >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Numbers = ((states ^ (states >> np.uint64(31))) >> np.uint64(11)) * np.float64(2.0**-53)
    return mixed


@dataclass(frozen=True)
class Policies:
    """How filters choose: rates and margin [filters], tier thresholds [filters, tiers], padded with infinity."""

    salts: NDArray[np.uint64]
    margin: Numbers
    near_rate: Numbers
    audit_rate: Numbers
    thresholds: Numbers

    @classmethod
    def of(cls, specs: Sequence[FilterSpec]) -> "Policies":
        tiers = max(len(spec.tiers) for spec in specs)
        limits = [[tier.at_least for tier in spec.tiers] for spec in specs]
        return cls(
            salts=np.array([_hash(spec.name, "filter") for spec in specs], dtype=np.uint64),
            margin=np.array([max(spec.routing.margin, 1e-9) for spec in specs]),
            near_rate=np.array([spec.routing.near_threshold_rate for spec in specs]),
            audit_rate=np.array([spec.routing.audit_rate for spec in specs]),
            thresholds=np.array([row + [np.inf] * (tiers - len(row)) for row in limits]),
        )

    def propensity(self, weighted: Numbers, interval: tuple[Numbers, Numbers], gap: Numbers) -> Numbers:
        """Probability of asking the oracle, [n, filters]; where it exceeds the audit rate, nearness is the reason.

        Highest at a tier threshold and falling linearly to the edge of the margin, which is the wider of the
        configured margin and the half-width of the article's own interval. Disagreement of probe and scorer
        raises it. Never below the audit rate.

        Args:
            weighted: scores on 0-10.
            interval: low and high; not a number where there is none.
            gap: distance of probe and scorer on 0-10.
        """
        low, high = interval
        margin = np.fmax(self.margin, (high - low) / 2)
        distance = np.abs(weighted[..., None] - self.thresholds).min(-1)
        nearness = np.maximum(0.0, 1 - distance / margin)
        disagreement = gap / 10
        raised = np.where((nearness > 0) | (disagreement > 0.2), disagreement, 0.0)
        near: Numbers = self.near_rate * np.minimum(1.0, nearness + raised)
        return np.maximum(near, self.audit_rate)

    def draws(self, article_ids: Sequence[str]) -> Numbers:
        """[n, filters]: a filter asks of an article where its draw is below the propensity.

        One hash per article, mixed with one per filter: six of each pair would cost 6 µs.
        """
        return _mix(np.array([[_hash(one, "route")] for one in article_ids], dtype=np.uint64) ^ self.salts)


def audits_closed(spec: FilterSpec, article_id: str) -> bool:
    """True if a filter that the gate closed is scored all the same, at the audit rate.

    Such a filter is always asked, with the audit rate as its propensity: these labels alone say what the gate misses;
    thinned once more by a draw, none would ever arrive.
    """
    return uniform(article_id, f"gate-audit:{spec.name}") < spec.routing.audit_rate
