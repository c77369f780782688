"""Work that takes too much ends by name, and the next piece of work is done as if nothing had been."""

import contextlib
import os
import sys
import time

import pytest

from producers.feeds.errors import ParseError
from producers.feeds.workers import Workers


def _sleep(seconds):
    time.sleep(seconds)


def _compute(seconds):
    """Like libraries do, takes every exception for a fault in the document."""
    deadline = time.process_time() + seconds
    while time.process_time() < deadline:
        with contextlib.suppress(Exception):
            sum(range(10_000))


def _hoard(gigabytes):
    return len(bytearray(gigabytes << 30))


def _die(status):
    os._exit(status)


def _refuse(action):
    raise ParseError("not_a_feed", "a web page", action)


@pytest.mark.parametrize(
    ("function", "argument", "outcome"),
    [
        pytest.param(_compute, 600, "parse_timeout", id="cpu-time"),
        pytest.param(_sleep, 600, "parse_timeout", id="time"),
        pytest.param(
            _hoard,
            3,
            "parse_memory",
            id="memory",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux"),
        ),
        pytest.param(_die, 1, "parse_crashed", id="death"),
        pytest.param(_refuse, "Look elsewhere.", "not_a_feed", id="its-own-refusal"),
    ],
)
async def test_every_end_has_a_name(function, argument, outcome):
    workers = Workers(cpu_sec=0.5, wall_sec=2.0 if function is _sleep else 200.0)
    with pytest.raises(ParseError) as refusal:
        await workers.run(function, argument)
    assert refusal.value.outcome == outcome
    assert await Workers().run(_hoard, 0) == 0


async def test_a_refusal_keeps_its_advice_on_the_way_back():
    with pytest.raises(ParseError) as refusal:
        await Workers().run(_refuse, "Look elsewhere.")
    assert refusal.value.action == "Look elsewhere."
