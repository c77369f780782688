import orjson
import pytest
from pydantic import ValidationError

from core.article import Article
from core.cascade import Judged, ScoreOutcome
from core.claims import Claim, MemoryClaims
from core.commerce import CommerceThresholds
from core.errors import RefusedRecord
from core.messages import Rejected
from core.package import load_package
from tests.support.models import fake_cascade
from tests.support.specs import write_package


@pytest.fixture
def cascade(tmp_path):
    packages = {
        name: load_package(write_package(tmp_path, name, gate={"threshold": 0.0})) for name in ("first", "second")
    }
    return fake_cascade(packages)


def article(number: int, **fields) -> Article:
    return Article(str(number), f"Title number {number}", f"Long enough text, number {number}.", **fields)


def run(cascade, articles):
    """The whole cascade over one batch; bytes or reason by id."""
    results = {}
    judged = []
    for item in cascade.prepare(articles, MemoryClaims()):
        if isinstance(item, Article):
            judged += [cascade.judge(gated) for gated in cascade.embed([item])]
        else:
            results[getattr(item, "article", item)] = item
    for item in judged:
        if isinstance(item, Rejected):
            results[item.article.id] = item.to_bytes()
    for outcome in cascade.score([item for item in judged if isinstance(item, Judged)]):
        results[outcome.scored.article.id] = outcome.scored.to_bytes()
    return results


def test_every_article_gets_one_record_in_the_contract_form(cascade):
    results = run(cascade, [article(n) for n in range(40)])
    assert set(results) == {str(n) for n in range(40)}
    scored = [record for body in results.values() if "filters" in (record := orjson.loads(body))]
    assert scored
    assert any("reason" in orjson.loads(body) for body in results.values())
    result = scored[0]["filters"]["first"]
    assert set(result) == {
        "version", "stage", "scores", "weighted", "interval", "tier", "gatekeeper", "percentile", "oracle",
    }  # fmt: skip
    assert {r["filters"][name]["stage"] for r in scored for name in r["filters"]} == {"scorer", "probe"}


def test_closed_filters_are_answered_by_the_probe_and_open_ones_by_the_scorer(cascade):
    (gated,) = cascade.embed([article(1)])
    judged = cascade.judge(gated)
    assert isinstance(judged, Judged)
    (outcome,) = cascade.score([judged])
    for name, result in outcome.scored.filters.items():
        assert result.stage == ("scorer" if name in judged.open else "probe")


def test_no_gate_scores_every_filter(cascade, tmp_path):
    open_cascade = fake_cascade(cascade.packages, gates=False)
    (gated,) = open_cascade.embed([article(1)])
    assert open_cascade.judge(gated).open == ("first", "second")


def test_what_the_embedding_doubts_is_read_and_rejected_or_scored(cascade):
    """Without a doubt the scorer is not asked; with one, its probability decides and is the one that is published."""
    reading = fake_cascade(
        cascade.packages, CommerceThresholds(rejected_at=0.8, doubted_at=0.4, confirmed_at=0.5), gates=True
    )
    alone = {n: cascade.judge(gated) for n, gated in enumerate(cascade.embed([article(n) for n in range(60)]))}
    judged = [reading.judge(gated) for gated in reading.embed([article(n) for n in range(60)])]
    doubted = [item for item in judged if isinstance(item, Judged) and item.doubted]
    assert all(item.commerce >= 0.4 for item in doubted)
    assert {type(item) for item in judged} == {Judged, Rejected}
    assert [isinstance(item, Rejected) for item in judged] == [isinstance(item, Rejected) for item in alone.values()]
    outcomes = reading.score(doubted)
    rejected = [item for item in outcomes if isinstance(item, Rejected)]
    scored = [item.scored for item in outcomes if isinstance(item, ScoreOutcome)]
    assert {(item.reason, item.detail) for item in rejected} == {("commerce", "read: at least 0.5")}
    assert all(item.commerce >= 0.5 for item in rejected)
    assert scored
    assert all(item.commerce < 0.5 for item in scored)


def test_an_article_with_every_filter_closed_is_still_read_where_commerce_is_in_doubt(tmp_path):
    package = load_package(write_package(tmp_path, "shut", gate={"threshold": 2.0}, routing={"audit_rate": 0.0}))
    cascade = fake_cascade({"shut": package}, CommerceThresholds(rejected_at=2.0, doubted_at=0.1, confirmed_at=0.01))
    (judged,) = [cascade.judge(gated) for gated in cascade.embed([article(1)])]
    assert (judged.open, judged.asked) == ((), ("commerce",))
    (outcome,) = cascade.score([judged])
    assert isinstance(outcome, Rejected)


@pytest.mark.parametrize(
    "thresholds", [{"doubted_at": 0.1}, {"confirmed_at": 0.1}, {"doubted_at": 0.9, "confirmed_at": 0.5}]
)
def test_thresholds_that_do_not_fit_together_are_refused(thresholds):
    with pytest.raises(ValidationError, match="doubted_at"):
        CommerceThresholds(rejected_at=0.8, **thresholds)


def test_order_and_batch_size_do_not_change_a_byte(cascade):
    articles = [article(n) for n in range(30)]
    whole = run(cascade, articles)
    assert run(cascade, articles[::-1]) == whole
    single = {}
    for item in articles:
        single |= run(cascade, [item])
    assert single == whole


def test_the_same_text_under_a_second_id_is_a_duplicate_of_the_first(cascade):
    claims = MemoryClaims()
    first, second = article(1), Article("other", "TITLE number 1", "Long enough  text, number 1.")
    kept, rejected = cascade.prepare([first, second], claims)
    assert kept == first
    assert (rejected.reason, rejected.detail) == ("duplicate", "same text as 1")
    assert cascade.prepare([second, first], claims) == [rejected, kept], "a redelivery is answered alike"


def test_an_id_with_another_text_is_refused(cascade):
    claims = MemoryClaims()
    kept, refused = cascade.prepare([article(1), Article("1", "Another", "And quite different text.")], claims)
    assert isinstance(kept, Article)
    assert isinstance(refused, RefusedRecord)
    assert refused.reason == "id_conflict"


def test_an_id_conflict_claims_no_text():
    claims = MemoryClaims()
    claims.claim([Claim("1", "x"), Claim("1", "y")])
    (answer,) = claims.claim([Claim("2", "y")])
    assert answer.owner == "2"


def test_a_share_of_closed_filters_is_scored_and_always_asked(tmp_path):
    """What the gate misses is known from these alone: their propensity is the audit rate, not its square."""
    package = load_package(
        write_package(
            tmp_path, "shut", gate={"threshold": 2.0}, routing={"audit_rate": 0.1, "near_threshold_rate": 0.0}
        )
    )
    cascade = fake_cascade({"shut": package}, CommerceThresholds(rejected_at=2.0))
    judged = [cascade.judge(gated) for gated in cascade.embed([article(n) for n in range(600)])]
    outcomes = cascade.score(judged)
    asked = [outcome.request.filters["shut"] for outcome in outcomes if outcome.request]
    assert {(ask.reason, ask.propensity) for ask in asked} == {("gate_audit", 0.1)}
    assert len(asked) == sum(o.scored.filters["shut"].stage == "scorer" for o in outcomes)
    assert len(asked) == sum(o.scored.filters["shut"].oracle == "audit" for o in outcomes)
    assert 30 <= len(asked) <= 95
