"""The five steps of the delivery rule, without Kafka."""

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from consumers.attempts import NoAttempts, Part
from consumers.dead import DeadLetter
from consumers.delivery import RAW_TIME, Backoff, Delivery, raw_time_ms
from consumers.records import Message, Record
from core.errors import RefusedRecord, TransientError
from core.topics import DEAD

QUICK = Backoff(first_sec=0.001, longest_sec=0.002, give_up_sec=5)


def record(offset: int, body: bytes = b"fine", headers=()) -> Record:
    return Record("in", 0, offset, 1_000 + offset, f"k{offset}".encode(), body, headers)


@dataclass
class Echo:
    """Publishes each body to `out`; bodies ask for accidents."""

    name: str = "echo"
    source: str = "in"
    calls: list = field(default_factory=list)
    transient: int = 0

    def decode(self, record: Record) -> bytes:
        if record.body == b"bad":
            raise RefusedRecord("bad", "asked for")
        if record.body == b"broken":
            raise RecursionError("too deep")
        return record.body

    def handle(self, batch):
        self.calls.append(list(batch))
        if self.transient:
            self.transient -= 1
            raise TransientError("away")
        if b"fails" in batch:
            raise ValueError("cannot")
        return [RefusedRecord("refused", "late") if b == b"late" else [Message("out", b"k", b)] for b in batch]


@dataclass
class Kafka:
    """Stores messages; answers from `failures` come first."""

    max_bytes: int = 1_000
    stored: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    async def publish(self, messages):
        answers = [self.failures.pop(0) if self.failures else None for _ in messages]
        self.stored += [m for m, answer in zip(messages, answers, strict=True) if answer is None]
        return answers

    def of(self, topic):
        return [message for message in self.stored if message.topic == topic]

    def letters(self):
        return [DeadLetter.from_record(Record(DEAD, 0, 0, 0, m.key, m.value, m.headers)) for m in self.of(DEAD)]


async def deliver(bodies, stage=None, kafka=None, **options):
    stage, kafka = stage or Echo(), kafka or Kafka()
    await Delivery(stage, kafka, backoff=QUICK, **options).deliver([record(i, b) for i, b in enumerate(bodies)])
    return stage, kafka


async def test_each_record_is_decoded_by_itself():
    _, kafka = await deliver([b"one", b"bad", b"broken", b"two"])
    assert [message.value for message in kafka.of("out")] == [b"one", b"two"]
    assert [(letter.reason, letter.original.value) for letter in kafka.letters()] == [
        ("bad", b"bad"),
        ("decode_error", b"broken"),
    ]


async def test_a_stage_may_refuse_after_decoding():
    _, kafka = await deliver([b"late", b"one"])
    assert [letter.reason for letter in kafka.letters()] == ["refused"]
    assert len(kafka.of("out")) == 1


async def test_a_failing_record_is_halved_out():
    stage, kafka = await deliver([b"1", b"2", b"fails", b"4", b"5"])
    assert [message.value for message in kafka.of("out")] == [b"1", b"2", b"4", b"5"]
    (letter,) = kafka.letters()
    assert (letter.reason, letter.message, letter.original.offset) == ("handler_error", "ValueError: cannot", 2)
    assert max(map(len, stage.calls)) == 5


async def test_a_transient_error_is_tried_again_with_the_same_batch():
    stage, kafka = await deliver([b"1", b"2"], Echo(transient=3))
    assert stage.calls == [[b"1", b"2"]] * 4
    assert dict(kafka.of("out")[0].headers)["attempt"] == b"4"


async def test_giving_up_raises_so_that_nothing_is_committed():
    delivery = Delivery(Echo(transient=1_000), Kafka(), backoff=Backoff(0.001, 0.002, give_up_sec=0.01))
    with pytest.raises(TransientError, match="rewound"):
        await delivery.deliver([record(0)])
    assert not delivery.publisher.stored


async def test_only_what_was_not_stored_is_published_again():
    kafka = Kafka(failures=[None, TransientError("away"), None])
    await deliver([b"1", b"2", b"3"], kafka=kafka)
    assert sorted(message.value for message in kafka.stored) == [b"1", b"2", b"3"]


async def test_an_outcome_that_kafka_refuses_becomes_a_dead_letter():
    kafka = Kafka(failures=[RefusedRecord("too_large_to_publish", "10 MB")])
    await deliver([b"1", b"2"], kafka=kafka)
    assert [message.value for message in kafka.of("out")] == [b"2"]
    assert [letter.reason for letter in kafka.letters()] == ["too_large_to_publish"]


async def test_an_outcome_over_the_limit_is_never_sent_in_part():
    class Twice(Echo):
        def handle(self, batch):
            return [[Message("out", b"k", b"small"), Message("out", b"k", body * 400)] for body in batch]

    _, kafka = await deliver([b"body"], Twice())
    assert not kafka.of("out")
    assert [letter.reason for letter in kafka.letters()] == ["too_large_to_publish"]


async def test_trace_headers_travel_and_the_frame_adds_its_own():
    kafka = Kafka()
    traced = record(0, headers=((RAW_TIME, b"77"), ("traceparent", b"00-1"), ("secret", b"x")))
    await Delivery(Echo(), kafka).deliver([traced, record(5)])
    first, second = (dict(message.headers) for message in kafka.of("out"))
    assert first == {RAW_TIME: b"77", "traceparent": b"00-1", "attempt": b"1", "stage": b"echo"}
    assert second[RAW_TIME] == b"1005"


@pytest.mark.parametrize(
    ("header", "expected"),
    [(b"12", 12), (b"x1", 1_000), (b"", 1_000), (None, 1_000), ("١".encode(), 1_000), (b"9" * 5_000, 1_000)],
    ids=["number", "word", "empty", "null", "arabic", "huge"],
)
def test_a_raw_time_that_is_no_number_is_ignored(header, expected):
    assert raw_time_ms(record(0, headers=((RAW_TIME, header),))) == expected


async def test_models_run_in_a_thread_and_coroutines_in_the_loop():
    places = []

    class Slow(Echo):
        def handle(self, batch):
            places.append(threading.current_thread())
            return super().handle(batch)

    class Coroutine(Echo):
        async def handle(self, batch):
            places.append(threading.current_thread())
            await asyncio.sleep(0)
            return super().handle(batch)

    await deliver([b"1"], Slow())
    await deliver([b"1"], Coroutine())
    assert places[0] is not threading.main_thread()
    assert places[1] is threading.current_thread()


async def test_known_killers_are_not_handled():
    class Knows(NoAttempts):
        def plan(self, stage, batch):
            return [Part((0,), 4, RefusedRecord("kills_process", "seen")), Part((1,))]

    stage, kafka = await deliver([b"killer", b"1"], attempts=Knows())
    assert stage.calls == [[b"1"]]
    (letter,) = kafka.letters()
    assert (letter.reason, letter.attempts) == ("kills_process", 5)


async def test_the_observer_hears_what_became_of_the_batch():
    reports = []

    class Observer:
        def delivered(self, report):
            reports.append(report)

    await deliver([b"1", b"bad", b"2"], observer=Observer())
    (report,) = reports
    assert (report.stage, report.records, report.published, report.dead) == ("echo", 3, {"out": 2}, {"bad": 1})
    assert report.raw_ms == [1_000, 1_001, 1_002]


def test_pauses_grow_and_are_bounded():
    backoff = Backoff(first_sec=1, longest_sec=8)
    pauses = [backoff.pause_sec(attempt) for attempt in (1, 2, 3, 4, 5, 1_000)]
    for pause, bound in zip(pauses, [1, 2, 4, 8, 8, 8], strict=True):
        assert 0.75 * bound <= pause <= bound
