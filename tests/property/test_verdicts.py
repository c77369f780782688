"""All filters of a batch at once give, to the byte, what each filter says of each article alone."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.calibration import Calibration, ConformalBand, Curve, Gate, Intervals, Normalisation
from core.curves import Curves
from core.messages import FilterResult, OracleAsk, encode
from core.package import FilterPackage, Manifest
from core.routing import Policies
from core.scoring import weigh
from core.spec import FilterSpec
from core.verdicts import Raw, Verdict, VerdictTable

RATES = (0.0, 0.005, 0.3, 1.0)
SEEDS = st.integers(0, 2**32 - 1)
"""Packages are drawn by numpy: hypothesis takes a second for one."""


def a_score(rng: np.random.Generator) -> float:
    return int(rng.integers(0, 1001)) / 100


def a_curve(rng: np.random.Generator, low: float = 0.0, high: float = 10.0) -> Curve:
    size = rng.integers(1, 7)
    x = np.sort(rng.choice(170_000, size, replace=False) - 20_000) / 10_000
    return Curve(x=tuple(x.tolist()), y=tuple(np.sort(rng.uniform(low, high, size).round(4)).tolist()))


def a_spec(rng: np.random.Generator, name: str) -> FilterSpec:
    shares = rng.integers(1, 10, rng.integers(1, 5))
    names = [f"d{place}" for place in range(len(shares))]
    tiers = sorted({a_score(rng) for _ in range(rng.integers(1, 4))}, reverse=True)
    return FilterSpec.model_validate(
        {
            "name": name,
            "version": "v1",
            "status": "development",
            "description": "",
            "dimensions": [
                {"name": n, "weight": share / shares.sum(), "meaning": ""}
                for n, share in zip(names, shares.tolist(), strict=True)
            ],
            "tiers": [{"name": f"tier-{limit}", "at_least": limit} for limit in tiers],
            "gatekeepers": [
                {"dimension": str(rng.choice(names)), "below": a_score(rng), "cap": a_score(rng)}
                for _ in range(rng.integers(0, 3))
            ],
            "routing": {
                "margin": float(rng.choice([0.0, 0.5, 3.0])),
                "near_threshold_rate": float(rng.choice(RATES)),
                "audit_rate": float(rng.choice(RATES)),
            },
        }
    )


def a_package(rng: np.random.Generator, name: str) -> FilterPackage:
    spec = a_spec(rng, name)

    def fits() -> dict[str, Curve]:
        return {dimension: a_curve(rng) for dimension in spec.dimension_names if rng.random() < 0.7}

    def band() -> ConformalBand | None:
        sigma, numbers = a_curve(rng, 0.01, 3), rng.uniform(0, 3, 3).tolist()
        found = ConformalBand(sigma=sigma, disagreement=numbers[0], lower=numbers[1], upper=numbers[2])
        return found if rng.random() < 0.7 else None

    return FilterPackage(
        Path(),
        spec,
        prompt="",
        manifest=Manifest(name=name, version="v1", files={}),
        manifest_sha256="",
        calibration=Calibration(scorer=fits(), probe=fits()),
        intervals=Intervals(scorer=band(), probe=band()),
        normalisation=Normalisation(
            sample=int(rng.choice([0, 400])), quantiles=a_curve(rng, 0, 100) if rng.random() < 0.7 else None
        ),
        gate=Gate(threshold=(None, 0.2, 0.8)[rng.integers(3)]),
    )


def a_situation(seed: int) -> tuple[list[FilterPackage], list[Raw]]:
    """Packages, and a batch of raw outputs."""
    rng = np.random.default_rng(seed)
    found = [a_package(rng, f"filter-{n}") for n in range(rng.integers(1, 4))]

    def vector(package: FilterPackage) -> np.ndarray:
        return rng.uniform(-2, 12, len(package.spec.dimensions)).astype(np.float32)

    batch = [
        Raw(
            f"article-{seed}-{n}",
            rng.choice([0.1, 0.2, 0.5, 0.9], len(found)).tolist(),
            [vector(package) for package in found],
            [vector(package) if rng.random() < 0.6 else None for package in found],
        )
        for n in range(rng.integers(1, 9))
    ]
    return found, batch


def plain_propensity(spec: FilterSpec, value: float, interval: tuple[float, float] | None, gap: float) -> float:
    """For one article, as Policies.propensity says in words."""
    low, high = interval or (value, value)
    margin = max(spec.routing.margin, (high - low) / 2, 1e-9)
    nearness = max(0.0, 1 - min(abs(value - tier.at_least) for tier in spec.tiers) / margin)
    if nearness > 0 or gap / 10 > 0.2:
        nearness = min(1.0, nearness + gap / 10)
    return max(spec.routing.near_threshold_rate * nearness, spec.routing.audit_rate)


def plain_verdict(package: FilterPackage, raw: Raw, at: int, gates: bool) -> tuple[FilterResult, OracleAsk | None]:
    spec, routing = package.spec, package.spec.routing
    scores = package.calibration.apply("probe", spec.dimension_names, raw.probe[at])
    weighted, probe = weigh(spec, scores), weigh(spec, scores).value
    output = raw.scorer[at]
    stage = "probe" if output is None else "scorer"
    if output is not None:
        scores = package.calibration.apply("scorer", spec.dimension_names, output)
        weighted = weigh(spec, scores)
    gap, band = abs(weighted.value - probe), package.intervals.band(stage)
    interval = band.interval(weighted.value, gap) if band else None
    propensity, reason = plain_propensity(spec, weighted.value, interval, gap), None
    if output is not None and gates and not package.gate.is_open(raw.gates[at]):
        propensity, reason = routing.audit_rate, "gate_audit"
    elif output is not None and Policies.of([spec]).draws([raw.article_id]).item() < propensity:
        reason = "near_threshold" if propensity > routing.audit_rate else "audit"
    shown = "audit" if reason == "gate_audit" else reason
    percentile = package.normalisation.percentile(weighted.value)
    result = FilterResult(
        spec.version, stage, scores, weighted.value, interval, weighted.tier, weighted.gatekeeper, percentile, shown
    )
    ask = OracleAsk(spec.version, reason, propensity, weighted.value, stage) if reason else None
    return result, ask


def as_bytes(verdict: Verdict) -> bytes:
    """Bytes tell 0.0 from -0.0, and the last bit of every number."""
    return encode({"results": verdict.results, "asks": verdict.asks})


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.booleans())
def test_a_batch_is_as_each_filter_on_each_article_alone(seed, gates):
    found, batch = a_situation(seed)
    for raw, verdict in zip(batch, VerdictTable(found).verdicts(batch, gates), strict=True):
        plain = {p.spec.name: plain_verdict(p, raw, at, gates) for at, p in enumerate(found)}
        results = {name: result for name, (result, _) in plain.items()}
        asks = {name: ask for name, (_, ask) in plain.items() if ask}
        assert as_bytes(verdict) == as_bytes(Verdict(results, asks))


@settings(deadline=None)
@given(SEEDS)
def test_an_article_is_answered_alike_whatever_its_neighbours(seed):
    found, batch = a_situation(seed)
    table = VerdictTable(found)
    together = table.verdicts(batch, gates=True)
    assert [table.verdicts([raw], gates=True)[0] for raw in batch] == together


@settings(deadline=None)
@given(SEEDS)
def test_the_probability_of_asking_is_the_documented_one(seed):
    rng = np.random.default_rng(seed)
    spec = a_spec(rng, "one")
    value, probe = (np.array([[a_score(rng)] for _ in range(6)]) for _ in range(2))
    width, known = rng.uniform(0, 3, (6, 1)), rng.random((6, 1)) < 0.7
    low, high, gap = (
        np.where(known, value - width, np.nan),
        np.where(known, value + width, np.nan),
        np.abs(value - probe),
    )
    together = Policies.of([spec]).propensity(value, (low, high), gap)
    rows = zip(
        value[:, 0].tolist(), low[:, 0].tolist(), high[:, 0].tolist(), gap[:, 0].tolist(), known[:, 0], strict=True
    )
    assert together[:, 0].tolist() == [plain_propensity(spec, v, (a, b) if k else None, g) for v, a, b, g, k in rows]


@settings(deadline=None)
@given(SEEDS)
def test_curves_side_by_side_are_the_curves(seed):
    rng = np.random.default_rng(seed)
    found = [a_curve(rng) if rng.random() < 0.8 else None for _ in range(rng.integers(1, 6))]
    values = rng.uniform(-5, 20, len(found)).tolist()
    knots = [curve.x[len(curve.x) // 2] if curve else 1.5 for curve in found]
    together = Curves(found, (len(found),))(np.array([values, knots]))
    alone = [[curve(v) if curve else v for curve, v in zip(found, row, strict=True)] for row in (values, knots)]
    assert together.tolist() == alone
