"""The delivery rule on real brokers: one outcome per record, whatever happens to it or to its neighbours."""

import asyncio
from collections import Counter, defaultdict
from functools import partial

import orjson
from aiokafka.producer import message_accumulator
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from consumers import runtime
from consumers.dead import DeadLetter
from consumers.delivery import Backoff
from consumers.kafka import KafkaPublisher
from consumers.records import Message
from consumers.runtime import open_stream
from core.article import MAX_BYTES
from core.topics import DEAD, GATED, RAW, REJECTED, SCORED
from tests.support.fakes import FAILS, AccidentalEncoder, fake_loader
from tests.support.kafka import article, await_outcomes, lag, publish, read

STAGES = ("screen", "score")

BAD = {
    "not_json": b"{no json",
    "not_utf8": b'{"title": "\xff\xfe", "text": "words"}',
    "not_an_object": b'["a", "list"]',
    "wrong_type": b'{"title": 7, "text": "words"}',
    "empty": b'{"title": " ", "text": ""}',
    "too_large": b'{"title": "t", "text": "' + b"x" * MAX_BYTES + b'"}',
    "nested": b"[" * 100_000,
}


def by_key(records):
    found = defaultdict(set)
    for record in records:
        found[record.key].add((record.topic, record.value))
    return found


async def test_every_article_has_exactly_one_outcome(stream_settings):
    articles = [article(f"a{i}") for i in range(300)]
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)):
        await publish(stream_settings, articles)
        outcomes = by_key(await await_outcomes(stream_settings, {message.key for message in articles}))
    assert all(len(found) == 1 for found in outcomes.values())
    topics = Counter(topic for found in outcomes.values() for topic, _ in found)
    assert topics[SCORED] > topics[REJECTED] > 0
    assert await lag(stream_settings) == {"screen": 0, "score": 0}


async def test_bad_records_become_dead_letters_and_their_neighbours_are_scored(stream_settings):
    bad = [Message(RAW, name.encode(), body) for name, body in BAD.items()]
    good = [article(f"good{i}", later="unknown fields travel") for i in range(len(bad))]
    conflict = [article("twice", "The first text of this id. " * 4), article("twice", "Quite another text. " * 4)]
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)):
        await publish(stream_settings, [m for pair in zip(bad, good, strict=True) for m in pair] + conflict)
        keys = {message.key for message in bad + good + conflict}
        await await_outcomes(stream_settings, keys)
    letters = {record.key.decode(): DeadLetter.from_record(record) for record in await read(stream_settings, DEAD)}
    expected = {name: name for name in BAD} | {"nested": "not_json", "twice": "id_conflict"}
    assert {key: letter.reason for key, letter in letters.items()} == expected
    for message in bad:
        letter = letters[message.key.decode()]
        assert letter.original.value == message.value
        assert (letter.original.topic, letter.stage, letter.attempts) == (RAW, "screen", 1)
    scored = {record.key: orjson.loads(record.value) for record in await read(stream_settings, SCORED, REJECTED)}
    assert {message.key for message in good} < set(scored)
    assert all(scored[message.key]["extra"] == {"later": "unknown fields travel"} for message in good)


async def test_headers_that_are_not_text_block_nothing(stream_settings):
    odd = article("odd")._replace(headers=(("source", b"\xff\xfe"), ("empty", b"")))
    keyless = Message(RAW, None, None, (("source", b"\xff"), ("null", None)))
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)):
        await publish(stream_settings, [odd, keyless, article("even")])
        await await_outcomes(stream_settings, {b"odd", b"even", None})
    (letter,) = map(DeadLetter.from_record, await read(stream_settings, DEAD))
    assert (letter.original.key, letter.original.value, letter.original.headers) == (None, None, keyless.headers)


class BytesName(str):
    """A header name that a C client may write, which is not UTF-8."""

    def encode(self, *_) -> bytes:
        return b"caf\xe9"


async def test_header_names_that_are_not_utf8_block_nothing(stream_settings, monkeypatch):
    odd = ((BytesName("name"), b"value"), ("source", b"feed"))
    articles = [article(f"a{i}")._replace(headers=odd if i == 7 else ()) for i in range(20)]
    with monkeypatch.context() as c_client:
        c_client.setattr(message_accumulator, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
        await publish(stream_settings, [*articles, Message(RAW, b"bad", b"{no json", odd)])
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)):
        await await_outcomes(stream_settings, {message.key for message in articles} | {b"bad"})
    (letter,) = map(DeadLetter.from_record, await read(stream_settings, DEAD))
    assert (letter.original.key, letter.reason) == (b"bad", "not_json")
    assert letter.original.headers == (("caf\ufffd", b"value"), ("source", b"feed"))


async def test_a_record_that_fails_is_found_by_halving(stream_settings):
    articles = [article(f"a{i}") for i in range(40)]
    articles[17] = article("a17", f"{FAILS} and some more words")
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)):
        await publish(stream_settings, articles)
        await await_outcomes(stream_settings, {message.key for message in articles})
    (letter,) = map(DeadLetter.from_record, await read(stream_settings, DEAD))
    assert (letter.original.key, letter.reason) == (b"a17", "handler_error")
    assert "cannot stand" in letter.message
    assert len(letter.stack) == 12


async def test_a_transient_error_pauses_and_loses_nothing(stream_settings):
    encoder = AccidentalEncoder(None, transient_failures=3)
    articles = [article(f"a{i}") for i in range(30)]
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings, encoder)):
        await publish(stream_settings, articles)
        records = await await_outcomes(stream_settings, {message.key for message in articles})
    assert encoder.transient_failures == 0
    assert Counter(record.key for record in records) == Counter(message.key for message in articles)
    assert not await read(stream_settings, DEAD)


async def test_a_batch_that_gives_up_is_rewound_and_comes_again(stream_settings, monkeypatch):
    impatient = Backoff(first_sec=0.01, longest_sec=0.02, give_up_sec=0.02)
    monkeypatch.setattr(runtime, "Wiring", partial(runtime.Wiring, backoff=impatient))
    encoder = AccidentalEncoder(None, transient_failures=6)
    articles = [article(f"a{i}") for i in range(30)]
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings, encoder)):
        await publish(stream_settings, articles)
        await await_outcomes(stream_settings, {message.key for message in articles})
        await wait_until_read(stream_settings)
    assert encoder.transient_failures == 0


async def test_nothing_is_committed_before_it_is_stored(stream_settings, monkeypatch):
    async def never(self, messages):
        raise RuntimeError("the process ends here")

    articles = [article(f"a{i}") for i in range(30)]
    await publish(stream_settings, articles)
    with monkeypatch.context() as crash:
        crash.setattr(KafkaPublisher, "publish", never)
        async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)) as broker:
            assert broker.running
            await asyncio.sleep(1)
    assert (await lag(stream_settings))["screen"] == len(articles)
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)):
        await await_outcomes(stream_settings, {message.key for message in articles})


async def test_redelivery_gives_equal_bytes_in_any_batch(stream_settings):
    articles = [article(f"a{i}", f"One of five texts, number {i % 5}. " * 5) for i in range(60)]
    await publish(stream_settings, articles)
    outcomes = []
    for batch in (64, 7, 1):
        groups = f"{stream_settings.group_prefix}-{batch}"
        settings = stream_settings.model_copy(update={"batch": batch, "group_prefix": groups})
        async with open_stream(settings, STAGES, fake_loader(settings)):
            records = await await_outcomes(settings, {message.key for message in articles})
            await wait_until_read(settings)
            outcomes.append(by_key(records))
    for found in by_key(await read(stream_settings, SCORED, REJECTED, DEAD)).values():
        assert len(found) == 1
    assert Counter(len(found) for found in outcomes[0].values()) == {1: 60}


async def wait_until_read(settings):
    for _ in range(100):
        if await lag(settings) == {"screen": 0, "score": 0}:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(await lag(settings))


async def test_stopping_commits_what_is_done(stream_settings):
    articles = [article(f"a{i}") for i in range(200)]
    await publish(stream_settings, articles)
    encoder = AccidentalEncoder(None, pause_sec=0.05)
    settings = stream_settings.model_copy(update={"batch": 8})
    async with open_stream(settings, STAGES, fake_loader(settings, encoder)):
        while encoder.calls < 5:
            await asyncio.sleep(0.02)
    done = Counter(record.key for record in await read(settings, GATED, SCORED, REJECTED))
    assert (await lag(settings))["screen"] < len(articles)
    async with open_stream(settings, STAGES, fake_loader(settings)):
        records = await await_outcomes(settings, {message.key for message in articles})
    assert done
    assert max(Counter(record.key for record in records).values()) == 1, "a drained worker repeats nothing"


async def test_an_outcome_too_large_for_kafka_is_a_dead_letter(stream_settings, monkeypatch):
    monkeypatch.setattr(KafkaPublisher, "max_bytes", 20_000)
    huge = article("huge", "words and more words, " * 2_000)
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)):
        await publish(stream_settings, [huge, article("small")])
        await await_outcomes(stream_settings, {b"huge", b"small"})
    (letter,) = map(DeadLetter.from_record, await read(stream_settings, DEAD))
    assert (letter.original.key, letter.reason) == (b"huge", "too_large_to_publish")
