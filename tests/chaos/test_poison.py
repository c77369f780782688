"""A record that kills its process is found after restarts; its neighbours are scored, and it can be replayed."""

import asyncio
import random
import time

import pytest

from consumers.dead import DeadLetter
from consumers.repair import dead_letters, replay
from core.topics import DEAD
from tests.chaos.fleet import Fleet
from tests.support.fakes import KILLS
from tests.support.kafka import article, await_outcomes, publish, read


@pytest.mark.timeout(200)
async def test_the_killer_is_isolated_and_its_neighbours_are_scored(broker, stream_settings):
    settings = stream_settings
    messages = [article(f"a{i}") for i in range(60)]
    messages[23] = article("a23", f"{KILLS} whoever embeds it.")
    await publish(settings, messages)
    with Fleet(settings, 1, random.Random(0), stages=("screen", "score")) as fleet:
        deaths, started = 0, time.monotonic()
        waiting = asyncio.create_task(await_outcomes(settings, {m.key for m in messages}, timeout_sec=150))
        while not waiting.done():
            deaths += fleet.revive()
            await asyncio.sleep(0.1)
        await waiting
        print(f"{deaths} deaths until the killer was found, 59 neighbours scored in {time.monotonic() - started:.0f} s")
        assert 3 <= deaths <= 5
        (letter,) = map(DeadLetter.from_record, await read(settings, DEAD))
        assert (letter.original.key, letter.original.value) == (b"a23", messages[23].value)
        assert (letter.reason, letter.stage) == ("kills_process", "screen")
        assert letter.attempts > 3

        (listed,) = await dead_letters(settings, "kills_process")
        assert not listed.replayed
        await replay(settings, [listed])
        assert [entry.replayed for entry in await dead_letters(settings)] == [True]
        while len(found := await dead_letters(settings)) < 2:
            fleet.revive()
            await asyncio.sleep(0.5)
    assert [entry.replays for entry in found] == [0, 1], "it kills again, and the replay is counted"
