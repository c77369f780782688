"""Hosts are asked no faster than they like, and feeds that fail are asked ever less."""

import asyncio
import random
import time

import pytest

from producers.feeds.fetch import Fetcher
from producers.feeds.robots import Robots
from producers.feeds.schedule import HostGate, next_poll
from tests.support.feed_server import Reply, feed_web


async def _visits(gate, *hosts, work_sec=0.0):
    starts: dict[str, list[float]] = {}

    async def visit(host):
        async with gate.turn(host):
            starts.setdefault(host, []).append(time.monotonic())
            await asyncio.sleep(work_sec)

    await asyncio.gather(*(visit(host) for host in hosts))
    return starts


async def test_requests_to_one_host_are_spaced_from_the_end_of_the_answer():
    starts = await _visits(HostGate(0.05), *["a"] * 4, work_sec=0.02)
    gaps = [later - earlier for earlier, later in zip(starts["a"], starts["a"][1:], strict=False)]
    assert min(gaps) >= 0.07


async def test_hosts_do_not_wait_for_each_other():
    started = time.monotonic()
    await _visits(HostGate(0.2), *[f"host{number}" for number in range(50)])
    assert time.monotonic() - started < 0.2


async def test_no_more_at_once_than_allowed():
    running, most = 0, 0
    gate = HostGate(0.0, concurrency=2)

    async def visit():
        nonlocal running, most
        async with gate.turn("A"):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    await asyncio.gather(*(visit() for _ in range(8)))
    assert most == 2


async def test_the_pause_holds_across_a_restart():
    started = time.monotonic()
    await _visits(HostGate(0.0, quiet_until=started + 0.1), "a")
    assert time.monotonic() - started >= 0.1


async def test_a_failed_request_frees_its_turn():
    gate = HostGate(0.0)
    with pytest.raises(RuntimeError):
        async with gate.turn("a"):
            raise RuntimeError
    await asyncio.wait_for(_visits(gate, "a"), 1)


def test_a_paused_host_is_paused_for_all_its_feeds():
    gate = HostGate(0.0)
    gate.pause("A.org", 100)
    assert gate.paused("a.org")
    assert not gate.paused("b.org")


def test_backoff_doubles_up_to_a_day_with_jitter():
    rng = random.Random(7)
    waits = [next_poll(0.0, 900, failures, None, rng) for failures in range(30)]
    assert waits[0] == 900
    assert all(0.75 * 900 * 2**n <= waits[n] <= 1.25 * 900 * 2**n for n in range(1, 6))
    assert max(waits) <= 1.25 * 86_400
    assert len(set(waits[10:])) == 20


def test_retry_after_only_prolongs():
    rng = random.Random(1)
    assert next_poll(0.0, 900, 0, 5_000, rng) == 5_000
    assert next_poll(0.0, 900, 0, 5, rng) == 900


@pytest.mark.parametrize(
    ("robots", "allowed"),
    [
        pytest.param(Reply(b"User-agent: *\nDisallow: /private", "text/plain"), True, id="other-path"),
        pytest.param(Reply(b"User-agent: *\nDisallow: /", "text/plain"), False, id="all"),
        pytest.param(Reply(b"User-agent: stillhouse\nDisallow: /stories", "text/plain"), False, id="us"),
        pytest.param(Reply(b"User-agent: other\nDisallow: /", "text/plain"), True, id="others"),
        pytest.param(Reply(status=404), True, id="none"),
        pytest.param(Reply(status=503), False, id="server-in-trouble"),
    ],
)
async def test_robots_txt_decides_about_pages_and_is_asked_once(robots, allowed):
    gate = HostGate(0.0)
    with feed_web() as web:
        web.put("/robots.txt", robots)
        async with Fetcher(gate, allow_private=True) as fetcher:
            rules = Robots(fetcher, gate)
            assert await rules.allow(web.url("/stories/1")) is allowed
            assert await rules.allow(web.url("/stories/2")) is allowed
        assert len(web.requests("/robots.txt")) == 1


async def test_crawl_delay_is_honoured():
    gate = HostGate(0.0)
    with feed_web() as web:
        web.put("/robots.txt", Reply(b"User-agent: *\nCrawl-delay: 1", "text/plain"))
        async with Fetcher(gate, allow_private=True) as fetcher:
            await Robots(fetcher, gate).allow(web.url("/a"))
    started = time.monotonic()
    await _visits(gate, "127.0.0.1", "127.0.0.1")
    assert time.monotonic() - started >= 1.0
