"""Dead letters keep the original record and say why it is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.dead import DeadLetter, Fault, dead_letter, stack_hash
from consumers.records import Record
from consumers.repair import REPLAYS, replay_message, replayable
from core.errors import RefusedRecord
from core.topics import DEAD, RAW

headers = st.lists(st.tuples(st.text(max_size=10), st.none() | st.binary(max_size=10)), max_size=3).map(tuple)
keys = st.none() | st.binary(max_size=10)
bodies = st.none() | st.binary(max_size=40)


def read_back(message) -> DeadLetter:
    return DeadLetter.from_record(Record(DEAD, 1, 2, 3, message.key, message.value, message.headers))


@given(keys, bodies, headers, st.text(max_size=20), st.integers(1, 9))
def test_the_original_comes_back(key, body, names, detail, attempts):
    record = Record(RAW, 3, 17, 1_700, key, body, names)
    letter = read_back(dead_letter(record, "screen", RefusedRecord("code", detail), attempts=attempts))
    assert letter.original == record
    assert (letter.stage, letter.reason, letter.message, letter.attempts) == ("screen", "code", detail, attempts)
    assert letter.place == "articles.raw/3/17"


@given(keys, bodies, headers)
def test_any_record_of_the_topic_can_be_read(key, body, names):
    letter = DeadLetter.from_record(Record(DEAD, 0, 0, 0, key, body, names))
    assert letter.original.value == body


def test_a_replay_restores_the_record_and_counts():
    record = Record(RAW, 3, 17, 1_700, b"id", b"{}", (("traceparent", b"00"), (REPLAYS, b"4")))
    message = replay_message(read_back(dead_letter(record, "screen", RefusedRecord("code", ""))))
    assert (message.topic, message.key, message.value) == (RAW, b"id", b"{}")
    assert dict(message.headers) == {"traceparent": b"00", REPLAYS: b"5"}


@pytest.mark.parametrize(
    ("topic", "body", "expected"),
    [
        pytest.param(RAW, b"{}", True, id="ours"),
        pytest.param("__consumer_offsets", b"{}", False, id="not-ours"),
        pytest.param(DEAD, b"{}", False, id="itself"),
        pytest.param(RAW, b"x" * 100_000, False, id="cut"),
    ],
)
def test_only_whole_records_of_our_topics_are_replayed(topic, body, expected):
    refusal = RefusedRecord("too_large_to_publish", "")
    assert replayable(read_back(dead_letter(Record(topic, 0, 0, 0, b"k", body), "s", refusal))) is expected


def test_equal_failures_have_equal_stacks():
    def fail(kind):
        try:
            raise kind("detail differs")
        except kind as error:
            return error

    assert stack_hash(fail(ValueError)) == stack_hash(fail(ValueError)) != stack_hash(fail(KeyError))
    assert Fault.of("handler_error", fail(ValueError)).stack == stack_hash(fail(ValueError))


def test_long_messages_are_cut():
    letter = read_back(dead_letter(Record(RAW, 0, 0, 0, b"k", b""), "s", RefusedRecord("code", "m" * 10_000)))
    assert len(letter.message) == 1_000
