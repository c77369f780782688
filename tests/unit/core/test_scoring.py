from core.scoring import weigh
from core.spec import FilterSpec
from tests.support.specs import CONFIG

SPEC = FilterSpec.model_validate(CONFIG)


def test_weighted_score_and_tier():
    result = weigh(SPEC, {"a": 8.0, "b": 6.0})
    assert (result.value, result.tier, result.gatekeeper) == (7.2, "high", None)


def test_the_gatekeeper_caps_and_is_named():
    result = weigh(SPEC, {"a": 2.99, "b": 10.0})
    assert (result.value, result.tier, result.gatekeeper) == (2.0, "low", "a")


def test_a_gatekeeper_that_changes_nothing_is_not_named():
    assert weigh(SPEC, {"a": 1.0, "b": 1.0}).gatekeeper is None


def test_a_tier_begins_at_its_threshold():
    assert weigh(SPEC, {"a": 4.0, "b": 4.0}).tier == "medium"
