"""The oracle stage over a local server: every request ends once, and money follows the budget."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from consumers.oracle import OracleStage
from consumers.records import Message, Record
from consumers.repair import REPLAYS
from consumers.spending import ASK, Spending, count_ledger, count_record
from core.article import Article
from core.budget import DAY_SEC, Budget, BudgetController
from core.errors import PackageError, RefusedRecord
from core.messages import Labelled, OracleAsk, OracleRequest
from core.topics import ORACLE_LABELS, ORACLE_REQUESTS
from models.oracle.pause import Backoff, OracleAway
from tests.support import oracle
from tests.support.fake_gemini import fake_gemini

DAY = 20_000 * DAY_SEC
ASK_TWO = {
    "demo": OracleAsk("v1", "near_threshold", 0.5, 4.1, "scorer"),
    "other": OracleAsk("v1", "audit", 0.01, 1, "scorer"),
}


def record(number: int, filters: dict[str, OracleAsk] = ASK_TWO, replays: int = 0, text: str | None = None) -> Record:
    article = Article(f"id{number}", "", text or f"Article {number} about a river.")
    headers = ((REPLAYS, str(replays).encode()),) if replays else ()
    body = OracleRequest(article, filters, "set").to_bytes()
    return Record(ORACLE_REQUESTS, 0, number, 0, article.id.encode(), body, headers)


def find(name: str, version: str):
    if name == "gone":
        raise PackageError("gone/v1 is in no folder.")
    return oracle.rubric(name)


class Clock:
    now = float(DAY)

    def __call__(self) -> float:
        return self.now


def stage_of(asker, usd: float = 5.0, calls: int = 10_000, shares: dict[str, float] | None = None) -> OracleStage:
    spending = Spending(BudgetController(Budget(usd, calls, shares or {})))
    return OracleStage(asker, spending, find, max_records=16, clock=Clock())


async def run(stage: OracleStage, records: Sequence[Record]) -> list[Sequence[Message] | RefusedRecord]:
    return list(await stage.handle([stage.decode(item) for item in records]))


def labelled(outcome) -> Labelled:
    (message,) = outcome
    assert message.topic == ORACLE_LABELS
    return Labelled.from_bytes(message.value)


async def test_one_call_labels_every_filter_with_its_propensity(tmp_path: Path) -> None:
    with fake_gemini() as fake:
        async with oracle.asker("gemini", fake, tmp_path) as asker:
            (outcome,) = await run(stage_of(asker), [record(1)])
    found = labelled(outcome)
    assert fake.calls.total() == 1
    assert {name: label.propensity for name, label in found.labels.items()} == {"demo": 0.5, "other": 0.01}
    assert found.labels["demo"].prompt_hash == "hash-of-prompt"
    assert (found.labels["demo"].weighted, found.labels["demo"].reason) == (4.1, "near_threshold")
    assert sum(label.cost_usd for label in found.labels.values()) == pytest.approx(fake.paid_usd)


async def test_a_redelivered_request_gives_the_same_bytes_and_costs_nothing(tmp_path: Path) -> None:
    with fake_gemini() as fake:
        async with oracle.asker("gemini", fake, tmp_path) as asker:
            stage = stage_of(asker)
            first = await run(stage, [record(1)])
            second = await run(stage, [record(1)])
            assert stage.spending.controller.state(DAY).calls.spent == 1
    assert first == second
    assert fake.calls.total() == 1


async def test_what_the_budget_declines_is_said_with_its_probability(tmp_path: Path) -> None:
    with fake_gemini() as fake:
        async with oracle.asker("gemini", fake, tmp_path) as asker:
            stage = stage_of(asker, usd=0.0)
            outcomes = await run(stage, [record(1), record(2)])
    assert fake.calls.total() == 0
    for outcome in outcomes:
        found = labelled(outcome)
        assert not found.labels
        assert {name: part.reason for name, part in found.declined.items()} == {"demo": "budget", "other": "budget"}
        assert found.declined["demo"].cost_usd > 0


async def test_a_missing_package_does_not_stop_the_other_filters(tmp_path: Path) -> None:
    asks = {"gone": ASK_TWO["demo"], "demo": ASK_TWO["demo"]}
    with fake_gemini() as fake:
        async with oracle.asker("gemini", fake, tmp_path) as asker:
            outcome, refused = await run(stage_of(asker), [record(1, asks), record(2, {"gone": ASK_TWO["demo"]})])
    found = labelled(outcome)
    assert set(found.labels) == {"demo"}
    assert found.declined["gone"].reason == "unknown_filter"
    assert isinstance(refused, RefusedRecord)
    assert refused.reason == "unknown_filter"


async def test_an_answer_that_is_no_label_is_a_dead_letter_and_a_replay_asks_again(tmp_path: Path) -> None:
    with fake_gemini(answer=lambda asked: "{}" if asked.call <= 2 else None) as fake:
        async with oracle.asker("gemini", fake, tmp_path) as asker:
            stage = stage_of(asker)
            (refused,) = await run(stage, [record(1)])
            (same,) = await run(stage, [record(1)])
            calls_before = fake.calls.total()
            (outcome,) = await run(stage, [record(1, replays=1)])
            spent = stage.spending.controller.state(DAY).usd.spent
    assert isinstance(refused, RefusedRecord)
    assert (refused.reason, str(same)) == ("missing_flag", str(refused))
    assert calls_before == 2
    assert set(labelled(outcome).labels) == {"demo", "other"}
    assert spent == pytest.approx(fake.paid_usd)


async def test_a_provider_without_money_pauses_the_stage_and_loses_nothing(tmp_path: Path) -> None:
    impatient = Backoff(first_sec=0.01, longest_sec=0.02, patience_sec=0.05)
    with fake_gemini() as fake:
        async with oracle.asker("gemini", fake, tmp_path, backoff=impatient) as asker:
            stage = stage_of(asker)
            await run(stage, [record(1)])
            fake.refuse_with = 402
            with pytest.raises(OracleAway):
                await run(stage, [record(1), record(2), record(3)])
            fake.refuse_with = None
            time.sleep(0.05)
            outcomes = await run(stage, [record(1), record(2), record(3)])
    assert [set(labelled(outcome).labels) for outcome in outcomes] == [{"demo", "other"}] * 3
    assert max(fake.good.values()) == 1
    assert stage.spending.controller.state(DAY).usd.spent == pytest.approx(fake.paid_usd)


async def test_spending_is_rebuilt_from_labels_and_ledger(tmp_path: Path) -> None:
    with fake_gemini(answer=lambda asked: "{}" if "wrong" in asked.text else None) as fake:
        async with oracle.asker("gemini", fake, tmp_path) as asker:
            stage = stage_of(asker)
            outcomes = await run(stage, [record(n, text="wrong" if n == 9 else None) for n in range(10)])
            published = [outcome[0] for outcome in outcomes if not isinstance(outcome, RefusedRecord)]
            now = time.time()
            again = Spending(BudgetController(Budget(5.0, 100)))
            # Published and redelivered: equal records count once; the last answer was paid and not yet published.
            for message in [*published[:-1], published[0]]:
                count_record(again, _stored(message, now), now)
            count_ledger(again, asker.ledger, now - 100, now)
            state = again.controller.state(now)
    assert state.usd.spent == pytest.approx(fake.paid_usd)
    assert state.calls.spent == 10
    assert again.filters["demo"].labels == len(published) - 1


async def test_a_day_of_requests_costs_the_budget(tmp_path: Path) -> None:
    """Demand is 2.5 times the budget, and the API behaves as measured; the clock runs a day in seconds."""
    rng = random.Random(5)
    moments = sorted(rng.random() * DAY_SEC for _ in range(1_000))
    with fake_gemini() as fake:
        async with oracle.asker("gemini", fake, tmp_path) as asker:
            expected = asker.expect_usd(oracle.question("Article 1 about a river.", "demo", "other"))
            stage = stage_of(asker, usd=400 * expected)
            counts: Counter[bool] = Counter()
            for number, moment in enumerate(moments):
                stage.clock.now = DAY + moment
                (outcome,) = await run(stage, [record(number)])
                counts[bool(labelled(outcome).labels)] += 1
                if number == 500:
                    half = fake.paid_usd
    assert fake.paid_usd == pytest.approx(400 * expected, rel=0.02)
    assert half == pytest.approx(200 * expected, rel=0.25)
    assert counts.total() == 1_000


def _stored(message: Message, now: float) -> Record:
    assert any(name == ASK for name, _ in message.headers)
    return Record(ORACLE_LABELS, 0, hash(message.value), int(now * 1000), message.key, message.value, message.headers)
