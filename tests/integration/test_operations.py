"""What operators do: topics, status, dead letters, tail and the broker's absence."""

import asyncio
import contextlib
import json
import logging

import pytest
from prometheus_client import CollectorRegistry

from consumers import topics
from consumers.app import running
from consumers.lag import LagReporter
from consumers.metrics import PrometheusRecorder
from consumers.repair import dead_letters, replay
from consumers.runtime import open_stream, prepare_topics
from consumers.status import read_status
from consumers.tail import Wanted, follow
from core.errors import StillhouseError
from core.topics import DEAD, RAW, TOPICS, Topic
from tests.support.fakes import FAILS, AccidentalEncoder, fake_loader
from tests.support.kafka import article, await_outcomes, publish, read

STAGES = ("screen", "score")


async def test_status_sees_lag_grow_and_drain(stream_settings):
    articles = [article(f"a{i}") for i in range(80)]
    await publish(stream_settings, articles)
    before = {stage.stage: stage for stage in (await read_status(stream_settings, 0.1)).stages}
    assert (before["screen"].lag, before["screen"].drain_sec, before["screen"].consumers) == (80, None, 0)
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)):
        await await_outcomes(stream_settings, {message.key for message in articles})
        await asyncio.sleep(0.5)
        assert {s.stage: s.consumers for s in (await read_status(stream_settings, 0)).stages}["screen"] == 2
    after = await read_status(stream_settings, 0.1)
    assert [stage.lag for stage in after.stages if stage.stage in STAGES] == [0, 0]
    assert sum(after.records.values()) == 80
    assert after.missing_topics == ()


async def test_each_worker_reports_the_lag_of_its_own_partitions(stream_settings):
    settings = stream_settings
    recorders = [PrometheusRecorder(CollectorRegistry()) for _ in range(2)]
    loader = fake_loader(settings, AccidentalEncoder(None, pause_sec=0.2))
    async with contextlib.AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(open_stream(settings, ("screen",), loader, lanes=1)) for _ in recorders
        ]
        reporters = [LagReporter(broker.lanes, recorder) for broker, recorder in zip(opened, recorders, strict=True)]
        await _report_until(reporters, recorders, lambda found: all(len(own) == 6 for own in found))
        await publish(settings, [article(f"a{i}") for i in range(300)])
        found = await _report_until(reporters, recorders, lambda found: all(any(own.values()) for own in found))
        assert not found[0].keys() & found[1].keys()
        found = await _report_until(reporters, recorders, lambda found: not any(any(own.values()) for own in found))
        await opened[0].stop()
        await _report_until(reporters, recorders, lambda found: [len(own) for own in found] == [0, 12])


async def _report_until(reporters, recorders, expected):
    """Lag by partition of each recorder, once it is as expected."""
    async with asyncio.timeout(60):
        while True:
            for reporter in reporters:
                await reporter.report()
            families = [next(f for f in r.registry.collect() if f.name == "stillhouse_lag_records") for r in recorders]
            found = [{s.labels["partition"]: s.value for s in family.samples} for family in families]
            if expected(found):
                return found
            await asyncio.sleep(0.2)


async def test_dead_letters_are_replayed_once_and_counted(stream_settings):
    settings = stream_settings
    fails = AccidentalEncoder(None)
    articles = [article("good"), article("bad1", f"{FAILS} 1 words"), article("bad2", f"{FAILS} 2 words")]
    async with open_stream(settings, STAGES, fake_loader(settings, fails)):
        await publish(settings, articles)
        await await_outcomes(settings, {message.key for message in articles})
        letters = await dead_letters(settings, "handler_error")
        assert {entry.letter.original.key for entry in letters} == {b"bad1", b"bad2"}
        assert not await dead_letters(settings, "not_json")
        fails.encode = lambda texts: fails.inner.encode(texts)  # the fault is mended
        assert await replay(settings, letters) == 2
        while len({r.key for r in await read(settings, "articles.scored", "articles.rejected")}) < 3:
            await asyncio.sleep(0.2)
    assert all(entry.replayed for entry in await dead_letters(settings))
    counted = [dict(record.headers).get("replays", b"") for record in await read(settings, RAW)]
    assert sorted(counted) == [b"", b"", b"", b"1", b"1"]


async def test_tail_shows_what_is_wanted(stream_settings):
    articles = [article(f"a{i}") for i in range(20)]
    await publish(stream_settings, articles)
    async with open_stream(stream_settings, STAGES, fake_loader(stream_settings)):
        async for raw, record in follow(stream_settings, Wanted("demo", 0.0), from_start=True):
            assert json.loads(raw) == record
            assert "demo" in record["filters"]
            break


async def _shows(admin, settings, wanted, expected):
    """The plan lists these (topic, action) within 10 s: a broker answers with old settings for a moment."""
    for _ in range(100):
        plan = await topics.plan(admin, settings, wanted)
        if (found := [(change.topic, change.action) for change in plan]) == expected:
            return
        await asyncio.sleep(0.1)
    assert found == expected


@pytest.mark.kafka
async def test_the_topics_table_is_applied(apache_settings):
    settings = apache_settings
    async with topics.admin_client(settings) as admin:
        await _shows(admin, settings, TOPICS, [])
        raw, *others = TOPICS
        wanted = [Topic(RAW, partitions=15, retention_ms=1_000_000), *others]
        changes = await topics.apply(admin, settings, wanted)
        assert [(change.topic, change.action) for change in changes] == [(RAW, "add_partitions"), (RAW, "configure")]
        assert "retention.ms: 604800000 -> 1000000" in changes[1].detail
        await _shows(admin, settings, wanted, [])
        (kept,) = [change for change in await topics.plan(admin, settings, TOPICS) if change.action == "keep"]
        assert kept.detail == "has 15 partitions, the table says 12"
        assert raw.partitions == 12


@pytest.mark.kafka
async def test_a_setting_that_others_made_survives(apache_settings):
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    settings = apache_settings
    async with topics.admin_client(settings) as admin:
        await _shows(admin, settings, TOPICS, [])
        own = {"segment.bytes": "2097152", "retention.ms": "5"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, DEAD, own)])
        await _shows(admin, settings, TOPICS, [(DEAD, "configure")])
        await topics.apply(admin, settings)
        await _shows(admin, settings, TOPICS, [])
        found = (await topics._configs(admin, [DEAD]))[DEAD]
    assert found["segment.bytes"][0] == "2097152"
    assert found["retention.ms"][0] != "5"


@pytest.mark.kafka
async def test_missing_topics_are_named(apache_settings):
    settings = apache_settings
    async with topics.admin_client(settings) as admin:
        await admin.delete_topics([RAW, DEAD])
        while len(await topics.missing(admin)) < 2:
            await asyncio.sleep(0.1)
    status = await read_status(settings, 0.1)
    assert status.missing_topics == (RAW, DEAD)
    assert {stage.stage for stage in status.stages} == {"score", "oracle", "labels"}
    with pytest.raises(StillhouseError, match=r"lacks articles\.raw, articles\.dead.*topics apply"):
        await prepare_topics(settings)


async def test_without_a_broker_the_address_is_named_until_it_comes(settings, caplog):
    from consumers.embedded import embedded_broker

    async def come_up() -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(opened.append, embedded_broker(settings))
        opened[0].__enter__()

    opened = []
    with caplog.at_level(logging.WARNING, "stillhouse.runtime"):
        async with running([come_up]):
            await asyncio.wait_for(prepare_topics(settings), 30)
            opened[0].__exit__(None, None, None)
    assert f"No answer from Kafka at 127.0.0.1:{settings.port}" in caplog.text
    assert "Next try in" in caplog.text
