"""A lane finishes and commits the batch in hand before its partitions move, and nothing beyond it."""

import asyncio
import logging
import sys
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalGenerationError

from consumers.lane import Calm, Lane
from core.settings import load_settings

HERE, THERE = TopicPartition("in", 0), TopicPartition("in", 1)


class Consumer:
    """Owns HERE with 10 records, of which it says 8, and THERE with 20 after a retention of 5."""

    def __init__(self, error=None) -> None:
        self.commits, self.error, self.asked = [], error, 0

    def assignment(self):
        return {HERE, THERE}

    async def end_offsets(self, partitions):
        return {p: {HERE: 8, THERE: 20}[p] for p in partitions}

    async def beginning_offsets(self, partitions):
        return {p: {HERE: 0, THERE: 5}[p] for p in partitions}

    async def committed(self, partition):
        self.asked += 1
        return {HERE: 4, THERE: None}[partition]

    def highwater(self, partition):
        return {HERE: 10, THERE: None}[partition]

    async def commit(self, offsets) -> None:
        if self.error:
            raise self.error
        self.commits.append(offsets)


class Broker:
    """Records what the lane subscribes."""

    def subscriber(self, *topics, **options):
        self.options = options
        return Subscriber()


class Subscriber:
    consumer = None

    def __call__(self, handler, **codecs) -> None: ...


class Frame:
    """A delivery that ends when it is told to."""

    stage = SimpleNamespace(name="screen", source="in", max_records=7)

    def __init__(self) -> None:
        self.finish, self.error = asyncio.Event(), None

    async def deliver(self, records) -> None:
        await self.finish.wait()
        if self.error:
            raise self.error


def raw(partition: int, offset: int):
    return SimpleNamespace(topic="in", partition=partition, offset=offset, timestamp=0, key=None, value=b"", headers=())


@pytest.fixture
def lane():
    broker, frame = Broker(), Frame()
    lane = Lane(broker, load_settings(), frame)
    lane._subscriber.consumer = Consumer()
    return SimpleNamespace(lane=lane, frame=frame, consumer=lane._subscriber.consumer, options=broker.options)


def test_it_joins_the_stages_group_and_commits_nothing_by_itself(lane):
    assert lane.options["group_id"] == "stillhouse.screen"
    assert lane.options["max_records"] == 7
    assert lane.options["ack_policy"].name == "NACK_ON_ERROR"


async def test_the_batch_in_hand_is_awaited_and_committed(lane):
    batch = asyncio.create_task(lane.lane._deliver([raw(0, 4), raw(0, 5), raw(1, 9)]))
    await asyncio.sleep(0)
    moving = asyncio.create_task(lane.lane.on_partitions_revoked({HERE}))
    await asyncio.sleep(0.01)
    assert not moving.done()
    lane.frame.finish.set()
    await batch
    await moving
    assert lane.consumer.commits == [{HERE: 6}]


async def test_a_batch_that_fails_is_not_committed(lane, monkeypatch):
    monkeypatch.setattr(sys.modules["consumers.lane"], "_REWIND_PAUSE_SEC", 0)
    lane.frame.error = ValueError("no")
    lane.frame.finish.set()
    with pytest.raises(ValueError, match="no"):
        await lane.lane._deliver([raw(0, 4)])
    await lane.lane.on_partitions_revoked({HERE})
    assert lane.consumer.commits == []


async def test_a_batch_that_takes_too_long_is_left_to_the_new_owner(lane, monkeypatch):
    monkeypatch.setattr(sys.modules["consumers.lane"], "_FINISH_SEC", 0.01)
    batch = asyncio.create_task(lane.lane._deliver([raw(0, 4)]))
    await asyncio.sleep(0)
    await lane.lane.on_partitions_revoked({HERE})
    assert lane.consumer.commits == []
    batch.cancel()


async def test_offsets_of_an_earlier_ownership_are_forgotten(lane):
    lane.frame.finish.set()
    await lane.lane._deliver([raw(0, 4), raw(1, 2)])
    await lane.lane.on_partitions_assigned({THERE})
    await lane.lane.on_partitions_revoked({HERE, THERE})
    assert lane.consumer.commits == []


async def test_what_waits_begins_at_the_last_commit(lane):
    assert await lane.lane.waiting() == {0: 6, 1: 15}
    assert await lane.lane.waiting() == {0: 6, 1: 15}
    assert lane.consumer.asked == 2, "once per partition and assignment"


async def test_a_batch_in_hand_waits_until_it_is_finished(lane):
    batch = asyncio.create_task(lane.lane._deliver([raw(0, 4), raw(0, 5), raw(1, 5)]))
    await asyncio.sleep(0)
    assert await lane.lane.waiting() == {0: 6, 1: 15}
    lane.frame.finish.set()
    await batch
    assert await lane.lane.waiting() == {0: 4, 1: 14}


async def test_nothing_waits_before_the_consumer_starts(lane):
    lane.lane._subscriber.consumer = None
    assert await lane.lane.waiting() == {}


async def test_a_commit_that_comes_too_late_is_no_error(lane):
    lane.frame.finish.set()
    lane.consumer.error = IllegalGenerationError()
    await lane.lane._deliver([raw(0, 4)])
    await lane.lane.on_partitions_revoked({HERE})


def test_a_refused_commit_is_told_calmly():
    record = logging.makeLogRecord({"levelno": logging.CRITICAL, "exc_info": (None, CommitFailedError("x"), None)})
    assert Calm().filter(record)
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert "repeats it" in record.getMessage()
    assert not Calm().filter(logging.makeLogRecord({"msg": "Auto create topics is disabled. Make sure"}))
