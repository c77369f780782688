"""Fuzzed records through whole stages on a broker: none crashes a stage, none is lost, each has exactly one outcome."""

import asyncio
import base64
import hashlib
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import orjson
import pytest

from consumers import runtime
from consumers.dead import DeadLetter
from consumers.oracle import OracleStage
from consumers.records import Message, Record
from consumers.runtime import open_stream
from consumers.spending import Spending
from core.article import article_from_dict
from core.budget import Budget, BudgetController
from core.messages import Labelled, OracleAsk, OracleRequest
from core.topics import DEAD, GATED, ORACLE_LABELS, ORACLE_REQUESTS, RAW, REJECTED, SCORED
from models.oracle.rubric import find_rubric
from offline.label_store import LabelStore
from tests.support import board_records, mutations, oracle
from tests.support.fake_gemini import fake_gemini
from tests.support.fakes import fake_loader, write_filters
from tests.support.kafka import PROJECT, lag, publish, read, read_each

SAMPLES = PROJECT / "producers" / "samples" / "articles.jsonl"
PART = 5_000
VECTOR = np.full(8, 8**-0.5, "<f4").tobytes()
SHORTER_VECTOR = np.full(4, 0.5, "<f4").tobytes()
OUR_FAULTS = ("decode_error", "handler_error")


def sample_articles() -> list[dict]:
    return [orjson.loads(line) for line in SAMPLES.read_bytes().splitlines()]


def sample_gated() -> list[dict]:
    """Lines of schema 1, each the whole record, and of schema 2, to which `some_vector` adds what is missing."""
    numbers = base64.b64encode(VECTOR).decode()
    articles = sample_articles()
    old = [{"schema": 1, "article": article, "embedding": numbers} for article in articles]
    return old + [{"schema": 2, "article": article} for article in articles]


def some_vector(draw: random.Random, body: bytes | None) -> bytes | None:
    damaged = VECTOR[: draw.randrange(len(VECTOR))], draw.randbytes(len(VECTOR)), SHORTER_VECTOR
    tails = (b"", b"", b"\n" + VECTOR, b"\n" + VECTOR, b"\n" + draw.choice(damaged))
    return body if body is None else body + draw.choice(tails)


def sample_requests() -> list[dict]:
    asked = {
        "demo": OracleAsk("v1", "near_threshold", 0.5, 4.1, "scorer"),
        "other": OracleAsk("v1", "audit", 0.01, 1.0, "probe"),
    }
    articles = map(article_from_dict, sample_articles())
    return [orjson.loads(OracleRequest(article, asked, "set").to_bytes()) for article in articles]


def sample_labelled() -> list[dict]:
    draw = random.Random(0)
    articles = map(article_from_dict, sample_articles())
    found = (board_records.labelled(board_records.scored(a, draw), draw) for a in articles)
    return [orjson.loads(labelled.to_bytes()) for labelled in found if labelled]


@pytest.fixture
def fuzzed_settings(embedded, tmp_path):
    return embedded.model_copy(update={"filters": (write_filters(tmp_path),)})


def fingerprint(record: Record | Message) -> bytes:
    """Key, bytes and headers, which a dead letter must give back."""
    return hashlib.sha256(repr((record.key, record.value, record.headers)).encode()).digest()


@dataclass
class Account:
    """What became of the records, by their numbers. `reasons` counts topics, and dead letters by reason."""

    sent: dict[int, bytes] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    outcomes: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    reasons: Counter = field(default_factory=Counter)

    async def publish(self, settings, messages) -> None:
        part: list[Message] = []
        for message in messages:
            self.sent[mutations.number_of(message)] = fingerprint(message)
            part.append(message)
            if len(part) == PART:
                await publish(settings, part)
                part = []
        await publish(settings, part)

    async def read(self, settings, source) -> None:
        await read_each(settings, self._place, source)
        await read_each(settings, self._outcome, *{GATED, SCORED, REJECTED, ORACLE_LABELS, DEAD} - {source})

    def _place(self, record: Record) -> None:
        self.places[mutations.number_of(record)] = f"{record.topic}/{record.partition}/{record.offset}"

    def _outcome(self, record: Record) -> None:
        if record.topic != DEAD:
            self.outcomes[mutations.number_of(record)].append(record.topic)
            self.reasons[record.topic] += 1
            return
        letter = DeadLetter.from_record(record)
        number = mutations.number_of(letter.original)
        self.outcomes[number].append(DEAD)
        self.reasons[letter.reason] += 1
        assert letter.place == self.places[number]
        assert fingerprint(letter.original) == self.sent[number]
        assert letter.reason not in OUR_FAULTS, (letter.message, letter.original.body[:300])


async def fuzz(settings, stage, source, samples, count, finish=mutations.untouched) -> Account:
    """Publish, let the stage work, send an intact record after all the others, and account for every one."""
    seed, account, started = random.randrange(10**6), Account(), time.monotonic()
    print(f"seed {seed}")
    async with open_stream(settings, (stage,), fake_loader(settings)):
        await account.publish(settings, mutations.messages(source, samples, count, seed, finish))
        await drained(settings, stage)
        await account.publish(settings, [mutations.intact(source, samples[0], count)])
        await drained(settings, stage)
    await account.read(settings, source)
    print(f"{count} records in {time.monotonic() - started:.0f} s: {dict(account.reasons.most_common())}")
    return account


async def drained(settings, stage) -> None:
    await asyncio.sleep(0.5)
    while any((await lag(settings, (stage,))).values()):
        await asyncio.sleep(0.5)


SOURCES = {
    "screen": (RAW, sample_articles, mutations.untouched),
    "score": (GATED, sample_gated, some_vector),
}


@pytest.mark.parametrize(
    ("stage", "count"),
    [
        pytest.param("screen", 2_000, id="screen"),
        pytest.param("score", 2_000, id="score"),
        pytest.param("screen", 100_000, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)], id="screen-100000"),
        pytest.param("score", 20_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)], id="score-20000"),
    ],
)
async def test_each_has_exactly_one_outcome(fuzzed_settings, stage, count):
    source, samples, finish = SOURCES[stage]
    account = await fuzz(fuzzed_settings, stage, source, samples(), count, finish)
    assert Counter(map(len, account.outcomes.values())) == {1: count + 1}
    assert account.outcomes[count] != [DEAD], "the stage still works"
    assert len(account.reasons) > 5


async def test_each_request_to_the_oracle_has_exactly_one_outcome(fuzzed_settings, tmp_path, monkeypatch):
    settings, count = fuzzed_settings, 500
    spending = Spending(BudgetController(Budget(1_000.0, 100_000, {})))
    with fake_gemini(speed=100.0) as fake:
        async with oracle.asker("gemini", fake, tmp_path) as asker:

            async def open_oracle(*_):
                return OracleStage(asker, spending, partial(find_rubric, settings.filters), max_records=64)

            monkeypatch.setattr(runtime, "open_oracle", open_oracle)
            account = await fuzz(settings, "oracle", ORACLE_REQUESTS, sample_requests(), count)
    assert Counter(map(len, account.outcomes.values())) == {1: count + 1}
    assert account.outcomes[count] != [DEAD], "the stage still works"
    assert account.reasons[ORACLE_LABELS] > count / 10


@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_each_label_is_a_row_or_a_dead_letter(fuzzed_settings, count):
    account = await fuzz(fuzzed_settings, "labels", ORACLE_LABELS, sample_labelled(), count)
    assert set(map(len, account.outcomes.values())) == {1}
    rows = {(label.article_id, label.filter) for label in LabelStore(fuzzed_settings.label_store).labels()}
    kept = set(range(count + 1)) - account.outcomes.keys()
    records = [r for r in await read(fuzzed_settings, ORACLE_LABELS) if mutations.number_of(r) in kept]
    labelled = [Labelled.from_bytes(record.body) for record in records]
    assert rows == {(one.article.id, name) for one in labelled for name in one.labels}
    assert count in kept, "the stage still works"
    assert len(account.reasons) > 4
