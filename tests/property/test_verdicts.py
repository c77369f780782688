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

RATES = st.sampled_from([0.0, 0.005, 0.3, 1.0])
SCORES = st.integers(0, 1000).map(lambda n: n / 100)


@st.composite
def curves(draw, low=0.0, high=10.0):
    x = sorted(draw(st.lists(st.integers(-20_000, 150_000), min_size=1, max_size=6, unique=True)))
    y = sorted(draw(st.lists(st.floats(low, high).map(lambda v: round(v, 4)), min_size=len(x), max_size=len(x))))
    return Curve(x=tuple(v / 10_000 for v in x), y=tuple(y))


@st.composite
def specs(draw, name: str):
    size = draw(st.integers(1, 4))
    shares = draw(st.lists(st.integers(1, 9), min_size=size, max_size=size))
    names = [f"d{place}" for place in range(size)]
    tiers = sorted(draw(st.lists(SCORES, min_size=1, max_size=3, unique=True)), reverse=True)
    keepers = st.builds(lambda d, b, c: {"dimension": d, "below": b, "cap": c}, st.sampled_from(names), SCORES, SCORES)
    return FilterSpec.model_validate(
        {
            "name": name,
            "version": "v1",
            "status": "development",
            "description": "",
            "dimensions": [
                {"name": n, "weight": s / sum(shares), "meaning": ""} for n, s in zip(names, shares, strict=True)
            ],
            "tiers": [{"name": f"tier-{limit}", "at_least": limit} for limit in tiers],
            "gatekeepers": draw(st.lists(keepers, max_size=2)),
            "routing": {
                "margin": draw(st.sampled_from([0.0, 0.5, 3.0])),
                "near_threshold_rate": draw(RATES),
                "audit_rate": draw(RATES),
            },
        }
    )


BANDS = st.none() | st.builds(
    ConformalBand, sigma=curves(0.01, 3), disagreement=st.floats(0, 1), lower=st.floats(0, 3), upper=st.floats(0, 3)
)


@st.composite
def packages(draw, name: str):
    spec = draw(specs(name))
    fits = st.dictionaries(st.sampled_from(spec.dimension_names), curves())
    return FilterPackage(
        Path(),
        spec,
        prompt="",
        manifest=Manifest(name=name, version="v1", files={}),
        manifest_sha256="",
        calibration=Calibration(scorer=draw(fits), probe=draw(fits)),
        intervals=Intervals(scorer=draw(BANDS), probe=draw(BANDS)),
        normalisation=Normalisation(sample=draw(st.sampled_from([0, 400])), quantiles=draw(st.none() | curves(0, 100))),
        gate=Gate(threshold=draw(st.none() | st.sampled_from([0.2, 0.8]))),
    )


@st.composite
def situations(draw):
    """Packages, and a batch of raw outputs."""
    found = [draw(packages(f"filter-{n}")) for n in range(draw(st.integers(1, 3)))]
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)

    def vector(package):
        return rng.uniform(-2, 12, len(package.spec.dimensions)).astype(np.float32)

    batch = [
        Raw(
            f"article-{seed}-{n}",
            rng.choice([0.1, 0.2, 0.5, 0.9], len(found)).tolist(),
            [vector(package) for package in found],
            [vector(package) if rng.random() < 0.6 else None for package in found],
        )
        for n in range(draw(st.integers(1, 5)))
    ]
    return found, batch


def plain_propensity(spec: FilterSpec, value: float, interval: tuple[float, float] | None, gap: float) -> float:
    """As docs/decisions/0012 describes it, for one article."""
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


@settings(max_examples=150)
@given(situations(), st.booleans())
def test_a_batch_is_as_each_filter_on_each_article_alone(situation, gates):
    found, batch = situation
    for raw, verdict in zip(batch, VerdictTable(found).verdicts(batch, gates), strict=True):
        plain = {p.spec.name: plain_verdict(p, raw, at, gates) for at, p in enumerate(found)}
        results = {name: result for name, (result, _) in plain.items()}
        asks = {name: ask for name, (_, ask) in plain.items() if ask}
        assert as_bytes(verdict) == as_bytes(Verdict(results, asks))


@given(situations())
def test_an_article_is_answered_alike_whatever_its_neighbours(situation):
    found, batch = situation
    table = VerdictTable(found)
    together = table.verdicts(batch, gates=True)
    assert [table.verdicts([raw], gates=True)[0] for raw in batch] == together


@given(specs("one"), st.lists(st.tuples(SCORES, st.floats(0, 3), SCORES, st.booleans()), min_size=1, max_size=5))
def test_the_probability_of_asking_is_the_documented_one(spec, seen):
    value, width, probe, known = (np.array(column)[:, None] for column in zip(*seen, strict=True))
    low, high = np.where(known, value - width, np.nan), np.where(known, value + width, np.nan)
    together = Policies.of([spec]).propensity(value, (low, high), np.abs(value - probe))
    alone = [plain_propensity(spec, v, (v - w, v + w) if k else None, abs(v - p)) for v, w, p, k in seen]
    assert together[:, 0].tolist() == alone


@given(st.lists(st.none() | curves(), min_size=1, max_size=5), st.data())
def test_curves_side_by_side_are_the_curves(found, data):
    values = data.draw(st.lists(st.floats(-5, 20), min_size=len(found), max_size=len(found)))
    knots = [curve.x[len(curve.x) // 2] if curve else 1.5 for curve in found]
    together = Curves(found, (len(found),))(np.array([values, knots]))
    alone = [[curve(v) if curve else v for curve, v in zip(found, row, strict=True)] for row in (values, knots)]
    assert together.tolist() == alone
