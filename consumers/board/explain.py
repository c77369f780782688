"""Why an article got its verdict: everything that a page or a feed entry says about it, as sentences and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumers.board.catalogue import Catalogue, humanise
from consumers.board.queries import Item
from core.scoring import LOWEST_TIER, weigh
from core.spec import FilterSpec

Result = Mapping[str, Any]

REJECTED = {
    "commerce": "It sells rather than reports, by its embedding or, where that was in doubt, as read.",
    "duplicate": "The same text came before under another id.",
    "consent_wall": "The text is that of a consent wall, not of the article.",
    "paywall": "The text is that of a paywall, not of the article.",
    "too_short": "Too few letters to judge.",
}
"""What the reason codes of articles.rejected mean to a reader."""

ASKED = {
    "near_threshold": "its score lies close to a tier threshold, where a second opinion teaches most",
    "audit": "it was drawn at random, as a check on everything else",
    "gate_audit": "its gate was closed and it was drawn at random, as a check on the gate",
}


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension's score; `oracle` and `evidence` where a label came back. `weight` None: spec unknown."""

    name: str
    label: str
    meaning: str
    score: float
    weight: float | None
    gates: bool
    oracle: float | None
    evidence: str


@dataclass(frozen=True, slots=True)
class OracleView:
    """What the oracle said. `within` tells whether it lies in the predicted interval."""

    name: str
    weighted: float | None
    tier: str | None
    within: bool | None
    propensity: float
    asked_because: str
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """One filter's verdict on one article."""

    name: str
    label: str
    version: str
    description: str
    tier: str
    rank: int
    weighted: float
    interval: tuple[float, float] | None
    thresholds: tuple[tuple[str, float], ...]
    dimensions: tuple[Dimension, ...]
    uncapped: float | None
    closed: bool
    sentences: tuple[str, ...]
    oracle: OracleView | None
    percentile: float | None

    @property
    def notable(self) -> bool:
        return self.tier != LOWEST_TIER


def explain(catalogue: Catalogue, item: Item, labels: Mapping[str, Mapping[str, Any]]) -> list[Explanation]:
    """Verdicts of all filters: the highest tier first, then by score."""
    found = [_explain(catalogue, name, result, labels.get(name)) for name, result in item.filters.items()]
    return sorted(found, key=lambda e: (-e.rank, e.closed, -e.weighted, e.name))


def tier_rank(spec: FilterSpec | None, tier: str) -> int:
    """0 for the lowest tier, higher for higher tiers."""
    if tier == LOWEST_TIER:
        return 0
    names = [t.name for t in reversed(spec.tiers)] if spec else ["medium", "high"]
    return names.index(tier) + 1 if tier in names else 1


def _explain(catalogue: Catalogue, name: str, result: Result, label: Mapping[str, Any] | None) -> Explanation:
    version = str(result["version"])
    spec = catalogue.spec(name, version)
    thresholds = tuple((tier.name, tier.at_least) for tier in spec.tiers) if spec else ()
    interval = tuple(result["interval"]) if result.get("interval") else None
    uncapped = None
    if spec and result.get("gatekeeper"):
        free = spec.model_copy(update={"gatekeepers": ()})
        uncapped = weigh(free, result["scores"]).value
    return Explanation(
        name=name,
        label=humanise(name),
        version=version,
        description=spec.description if spec else "",
        tier=str(result["tier"]),
        rank=tier_rank(spec, str(result["tier"])),
        weighted=float(result["weighted"]),
        interval=(float(interval[0]), float(interval[1])) if interval else None,
        thresholds=thresholds,
        dimensions=_dimensions(spec, result, label),
        uncapped=uncapped,
        closed=result.get("stage") == "probe",
        sentences=tuple(_sentences(spec, result, uncapped)),
        oracle=_oracle(spec, result, label) if label else None,
        percentile=result.get("percentile"),
    )


def _dimensions(spec: FilterSpec | None, result: Result, label: Mapping[str, Any] | None) -> tuple[Dimension, ...]:
    known = {dimension.name: dimension for dimension in spec.dimensions} if spec else {}
    gating = {gatekeeper.dimension for gatekeeper in spec.gatekeepers} if spec else set()
    oracle_scores = label.get("scores", {}) if label else {}
    evidence = label.get("evidence", {}) if label else {}
    return tuple(
        Dimension(
            name=name,
            label=humanise(name),
            meaning=known[name].meaning if name in known else "",
            score=float(score),
            weight=known[name].weight if name in known else None,
            gates=name in gating,
            oracle=oracle_scores.get(name),
            evidence=str(evidence.get(name) or ""),
        )
        for name, score in result["scores"].items()
    )


def _sentences(spec: FilterSpec | None, result: Result, uncapped: float | None) -> list[str]:
    """The verdict in words, the decisive reason first."""
    weighted, said = float(result["weighted"]), []
    if result.get("gatekeeper"):
        said.append(_capped(spec, result, uncapped))
    elif spec:
        said.append(_placed(spec, weighted, str(result["tier"])))
    if spec and result.get("interval"):
        low, high = result["interval"]
        crossed = [tier.name for tier in reversed(spec.tiers) if low < tier.at_least <= high]
        said.append(
            f"The interval reaches across the threshold of {' and '.join(crossed)}, so the tier is not certain."
            if crossed
            else "The whole interval lies in this tier."
        )
    if result.get("stage") == "probe":
        said.append(
            "The gate stayed closed: the probe saw too little to call the language model, and its estimate stands."
        )
    if result.get("oracle"):
        said.append(f"It went to the oracle because {ASKED.get(result['oracle'], result['oracle'])}.")
    return said


def _placed(spec: FilterSpec, weighted: float, tier: str) -> str:
    above = [t for t in spec.tiers if t.at_least > weighted]
    own = next((t for t in spec.tiers if t.name == tier), None)
    parts = []
    if own:
        parts.append(f"{_distance(weighted - own.at_least)} above the threshold of {own.name} ({own.at_least:g})")
    if above:
        threshold = "that" if own else "the threshold"
        gap = _distance(above[-1].at_least - weighted)
        parts.append(f"{gap} below {threshold} of {above[-1].name} ({above[-1].at_least:g})")
    return f"The weighted score of {weighted:.1f} is {' and '.join(parts)}."


def _distance(gap: float) -> str:
    return "just" if gap < 0.05 else f"{gap:.1f}"


def _capped(spec: FilterSpec | None, result: Result, uncapped: float | None) -> str:
    dimension = str(result["gatekeeper"])
    keeper = next((g for g in spec.gatekeepers if g.dimension == dimension), None) if spec else None
    if keeper is None:
        return f"{humanise(dimension)} is too low: it capped the score."
    score = float(result["scores"][dimension])
    before = f" instead of {uncapped:.1f}" if uncapped is not None else ""
    return (
        f"{humanise(dimension)} is {score:.1f}, below {keeper.below:g}, which caps the score at {keeper.cap:g}{before}."
    )


def _oracle(spec: FilterSpec | None, result: Result, label: Mapping[str, Any]) -> OracleView:
    weighted = tier = within = None
    scores = label["scores"]
    if spec and set(scores) >= set(spec.dimension_names):
        verdict = weigh(spec, scores)
        weighted, tier = verdict.value, verdict.tier
        if result.get("interval"):
            low, high = result["interval"]
            within = low <= weighted <= high
    return OracleView(
        name=str(label["oracle"]),
        weighted=weighted,
        tier=tier,
        within=within,
        propensity=float(label["propensity"]),
        asked_because=ASKED.get(label["reason"], str(label["reason"])),
        cost_usd=float(label.get("cost_usd") or 0),
    )
