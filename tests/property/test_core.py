"""Laws of the domain that hold for any input."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from core.article import decode_article
from core.calibration import Calibration, ConformalBand, Curve, Normalisation
from core.claims import Claim, MemoryClaims
from core.errors import RefusedRecord
from core.scoring import weigh
from core.spec import FilterSpec
from core.text import clean
from tests.support.specs import CONFIG

SPEC = FilterSpec.model_validate(CONFIG)
SCORES = st.floats(0, 10)
RAW = st.floats(-50, 50, width=32)


@st.composite
def curves(draw, low=0.0, high=10.0):
    x = sorted(draw(st.lists(st.floats(-5, 15), min_size=1, max_size=8, unique=True)))
    y = sorted(draw(st.lists(st.floats(low, high), min_size=len(x), max_size=len(x))))
    return Curve(x=tuple(x), y=tuple(y))


@given(curves(), RAW, RAW)
def test_calibration_is_monotone_and_bounded(curve, one, other):
    calibration = Calibration(scorer={"a": curve})
    low, high = (calibration.apply("scorer", ["a"], [v])["a"] for v in sorted((one, other)))
    assert 0 <= low <= high <= 10


@given(curves(low=0.01, high=5), st.floats(0, 3), st.floats(0, 3), SCORES, st.floats(0, 10))
def test_intervals_hold_their_score_and_stay_on_the_scale(sigma, lower, upper, weighted, gap):
    low, high = ConformalBand(sigma=sigma, disagreement=0.3, lower=lower, upper=upper).interval(weighted, gap)
    assert 0 <= low <= weighted + 0.005
    assert weighted - 0.005 <= high <= 10


@given(st.fixed_dictionaries({"a": SCORES, "b": SCORES}))
def test_the_weighted_score_is_bounded_and_its_tier_follows(scores):
    result = weigh(SPEC, scores)
    assert 0 <= result.value <= 10
    assert (result.tier == "high") == (result.value >= 7)
    assert (result.tier == "low") == (result.value < 4)


@given(st.integers(0, 299), SCORES)
def test_a_small_sample_gives_no_percentile(sample, weighted):
    curve = Curve(x=(0.0, 10.0), y=(0.0, 100.0))
    assert Normalisation(sample=sample, min_sample=300, quantiles=curve).percentile(weighted) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_an_article_or_refused(body):
    with contextlib.suppress(RefusedRecord):
        article = decode_article(body)
        assert article.id
        assert article.content


@given(st.text())
def test_cleaning_is_idempotent_on_plain_text(text):
    once = clean(text.replace("<", "").replace("&", ""))
    assert clean(once) == once


@given(st.lists(st.builds(Claim, st.sampled_from("abc"), st.sampled_from("xyz")), max_size=20))
def test_claims_are_answered_alike_for_ever(claims):
    store = MemoryClaims()
    assert store.claim(claims) == store.claim(claims)
