"""Nothing lost, nothing twice: workers killed, stopped and drained at random while articles keep coming."""

import asyncio
import contextlib
import random
import time

import pytest

from core.errors import TransientError
from tests.chaos.fleet import STAGES, Fleet, audit, torment
from tests.support.kafka import article, lag, publish


def articles(count: int, seed: int) -> list:
    """Every tenth article repeats the text of an earlier one: duplicates must be decided alike each time."""
    draw = random.Random(seed)
    return [
        article(f"a{i}", f"Words about the same matter, number {draw.randrange(i)}. " * 6 if i % 10 == 9 else None)
        for i in range(count)
    ]


async def run_chaos(broker, settings, count: int, kills: int, seed: int) -> str:
    """Publish all along, torment, wait until everything is handled, and account."""
    print(f"seed {seed}")
    settings = settings.model_copy(update={"batch": 8})  # workers shall be busy when they are killed
    messages, started = articles(count, seed), time.monotonic()
    with Fleet(settings, 3, random.Random(seed)) as fleet:
        feed = asyncio.create_task(trickle(settings, messages, seconds=kills * 1.5))
        await torment(fleet, broker, kills)
        await feed
        await settle(settings, fleet)
    account = await audit(settings, {message.key for message in messages}, fleet.counts, started)
    print(account)
    assert account.lost == 0
    assert account.unequal == 0
    assert account.dead == 0
    assert account.labels > 0
    assert account.labels_missing == 0
    assert account.labels_twice == 0
    return str(account)


async def trickle(settings, messages, seconds: float) -> None:
    """Publish in 20 portions; the broker may be away meanwhile."""
    size = max(1, len(messages) // 20)
    for start in range(0, len(messages), size):
        while True:
            with contextlib.suppress(TransientError, AssertionError):
                await publish(settings, messages[start : start + size])
                break
            await asyncio.sleep(0.5)
        await asyncio.sleep(seconds / 20)


async def settle(settings, fleet, timeout_sec: float = 180) -> None:
    """Offsets at the end, in every stage."""
    deadline = time.monotonic() + timeout_sec
    while time.monotonic() < deadline:
        fleet.counts["revived"] += fleet.revive()
        with contextlib.suppress(TransientError):
            waiting = await lag(settings, STAGES)
            if waiting and not any(waiting.values()):
                return
        await asyncio.sleep(0.5)
    raise AssertionError(f"not drained after {timeout_sec} s: {waiting}\n{fleet.last_words()}")


@pytest.mark.timeout(240)
async def test_a_few_kills(broker, stream_settings):
    await run_chaos(broker, stream_settings, count=600, kills=4, seed=random.randrange(10_000))


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("run", range(3))
async def test_many_kills(broker, stream_settings, run):
    await run_chaos(broker, stream_settings, count=3_000, kills=25, seed=random.randrange(10_000))
