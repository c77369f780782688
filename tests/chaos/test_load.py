"""Under load: memory stays flat while lag grows and drains, and a rolling restart is hardly seen."""

import asyncio
import random
import sys
import time

import pytest

from consumers.app import LANES
from consumers.status import read_status
from core.topics import RAW, REJECTED, SCORED
from tests.chaos.fleet import Fleet
from tests.support.kafka import article, lag, publish, read

WORDS = "The river, the town and what was said about both of them. " * 35


def percentile(values, share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_memory_stays_flat_over_20_000_articles(broker, stream_settings):
    count, sizes, lags = 20_000, [], []
    with Fleet(stream_settings, 1, random.Random(0), stages=("screen", "score"), pause_sec=0.02) as fleet:
        feed = asyncio.create_task(
            publish(stream_settings, [article(f"a{i}", f"{i} {WORDS}"[:2_000]) for i in range(count)])
        )
        started = time.monotonic()
        while not feed.done() or lags[-1]:
            waiting = await lag(stream_settings, ("screen", "score"))
            lags.append(sum(waiting.values()))
            sizes.append(fleet.memory_mb())
            await asyncio.sleep(0.5)
        await feed
    handled = {record.key for record in await read(stream_settings, SCORED, REJECTED)}
    settled = sizes[len(sizes) // 4 :]
    print(
        f"{count} articles in {time.monotonic() - started:.0f} s: lag up to {max(lags)}, "
        f"memory {settled[0]:.0f} MB after a quarter of the time, at most {max(settled):.0f} MB"
    )
    assert len(handled) == count
    assert max(lags) > 2_000, "the stream was never behind, so this showed nothing"
    assert max(settled) < settled[0] + 60


async def all_work(settings, fleet) -> None:
    """As an orchestrator does, wait until the one that was restarted works before the next."""
    while True:
        stages = [stage for stage in (await read_status(settings, 0)).stages if stage.stage in fleet.stages]
        if all(stage.consumers == fleet.size * LANES for stage in stages):
            return
        await asyncio.sleep(0.5)


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_a_rolling_restart_under_load(broker, stream_settings):
    """p99 from raw to outcome stays under three times the quiet figure."""
    settings = stream_settings.model_copy(update={"batch": 16})
    keys: dict[bytes, float] = {}
    restarting: list[float] = []

    async def steady(stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            messages = [article(f"a{number + i}") for i in range(10)]
            number += len(messages)
            keys.update(dict.fromkeys((message.key for message in messages), time.time() * 1000))
            await publish(settings, messages)
            await asyncio.sleep(0.5)

    with Fleet(settings, 3, random.Random(0), stages=("screen", "score"), pause_sec=0.5) as fleet:
        stop = asyncio.Event()
        feed = asyncio.create_task(steady(stop))
        await all_work(settings, fleet)
        await asyncio.sleep(20)
        restarting.append(time.time() * 1000)
        for index in range(fleet.size):
            await fleet.drain(index)
            await all_work(settings, fleet)
            await asyncio.sleep(2)
        restarting.append(time.time() * 1000)
        stop.set()
        await feed
        while any((await lag(settings, ("screen", "score"))).values()):
            await asyncio.sleep(0.5)
    outcomes = await read(settings, SCORED, REJECTED)
    assert {record.key for record in outcomes} == set(keys) == {record.key for record in await read(settings, RAW)}
    waits = {r.key: r.timestamp_ms - int(r.header("trace-raw-ts")) for r in outcomes}
    begin, end = restarting
    quiet = percentile([waits[key] for key, at in keys.items() if begin - 20_000 < at < begin - 3_000], 0.99)
    restart = percentile([waits[key] for key, at in keys.items() if begin <= at < end], 0.99)
    repeated = len(outcomes) - len(keys)
    print(f"p99 {quiet} ms when quiet, {restart} ms in the restart of 3 workers, {repeated} of {len(keys)} repeated")
    assert restart < 3 * quiet
