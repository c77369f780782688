from dataclasses import asdict, replace

import pytest

from consumers.board.catalogue import Catalogue
from consumers.board.explain import Explanation, explain
from consumers.board.queries import Item
from core.messages import FilterResult
from tests.support.board_records import FILTERS, SPECS

SPEC = SPECS["uplifting"]


def explanation(level: float, *, label: dict | None = None, **changes) -> Explanation:
    scores = dict.fromkeys(SPEC.dimension_names, level) | changes.pop("scores", {})
    base = FilterResult(
        "v6", "scorer", scores, level, (max(0, level - 0.5), min(10, level + 0.5)), "low", None, None, None
    )
    result = replace(base, **changes)
    item = Item(1, "a", "scored", 0, 1, "T", None, None, "en", None, "", 0.1, None, None, "r", None,
                {"uplifting": asdict(result)})  # fmt: skip
    (found,) = explain(Catalogue((FILTERS,)), item, {"uplifting": label} if label else {})
    return found


@pytest.mark.parametrize(
    ("level", "tier", "said"),
    [
        (5.4, "medium", "5.4 is 1.4 above the threshold of medium (4) and 1.6 below that of high (7)."),
        (8.0, "high", "8.0 is 1.0 above the threshold of high (7)."),
        (1.0, "low", "1.0 is 3.0 below the threshold of medium (4)."),
        (3.97, "low", "4.0 is just below the threshold of medium (4)."),
    ],
)  # fmt: skip
def test_the_place_between_the_thresholds(level: float, tier: str, said: str):
    found = explanation(level, tier=tier)
    assert found.sentences[0] == f"The weighted score of {said}"
    assert ("whole interval" in found.sentences[1]) == ("just" not in said)
    assert found.thresholds == (("high", 7.0), ("medium", 4.0))


def test_an_interval_across_a_threshold_is_said():
    found = explanation(6.8, tier="medium")
    assert found.sentences[1] == "The interval reaches across the threshold of high, so the tier is not certain."


def test_a_gatekeeper_says_what_it_took():
    found = explanation(6.0, scores={"evidence_level": 2.0}, weighted=3.0, gatekeeper="evidence_level")
    assert found.sentences[0] == "Evidence level is 2.0, below 3, which caps the score at 3 instead of 5.2."
    assert found.uncapped == pytest.approx(5.2)
    assert [d.name for d in found.dimensions if d.gates] == ["evidence_level"]


def test_a_closed_gate_and_the_reason_for_asking():
    found = explanation(1.0, stage="probe", oracle="audit")
    assert found.closed
    assert any("gate stayed closed" in sentence for sentence in found.sentences)
    assert any("drawn at random" in sentence for sentence in found.sentences)


def test_the_oracle_beside_the_prediction():
    label = {
        "version": "v6", "scores": dict.fromkeys(SPEC.dimension_names, 7.5), "oracle": "gemini", "propensity": 0.25,
        "reason": "near_threshold", "cost_usd": 0.003, "evidence": {"evidence_level": "“measured”"},
    }  # fmt: skip
    found = explanation(6.8, tier="medium", label=label)
    assert found.oracle is not None
    assert (found.oracle.weighted, found.oracle.tier, found.oracle.within) == (7.5, "high", False)
    assert {d.name: d.evidence for d in found.dimensions if d.evidence} == {"evidence_level": "“measured”"}
    assert {d.oracle for d in found.dimensions} == {7.5}


def test_a_version_that_is_not_installed_still_shows_its_scores():
    found = explanation(5.0, version="v99", tier="splendid", label=None)
    assert found.rank == 1
    assert {d.score for d in found.dimensions} == {5.0}
    assert {d.weight for d in found.dimensions} == {None}
