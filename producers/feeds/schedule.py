"""When a host may be asked again, and when a feed is due again."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

SLOW_AFTER_FAILURES = 3
"""Failures in a row from which a feed is named in the log and in `stillhouse feeds status`."""

_MAX_BACKOFF_SEC = 86_400.0
_JITTER = 0.25
_REMEMBERED_HOSTS = 10_000


@dataclass
class _Host:
    slots: asyncio.Semaphore
    free_at: float
    delay_sec: float
    paused_until: float = 0.0
    users: int = 0


@dataclass
class HostGate:
    """Spaces the requests to each host; the port plays no part, as one machine answers all.

    The pause counts from the end of an answer, so that requests also arrive apart. `quiet_until` (monotonic) keeps
    the pause across a restart.
    """

    delay_sec: float
    concurrency: int = 1
    quiet_until: float = 0.0
    _hosts: OrderedDict[str, _Host] = field(default_factory=OrderedDict)

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for one's turn at `host`; in a list of many hosts none waits for another."""
        state = self._host(host.lower())
        state.users += 1
        try:
            async with state.slots:
                while (wait_sec := state.free_at - time.monotonic()) > 0:
                    await asyncio.sleep(wait_sec)
                state.free_at = time.monotonic() + state.delay_sec
                try:
                    yield
                finally:
                    state.free_at = max(state.free_at, time.monotonic() + state.delay_sec)
        finally:
            state.users -= 1

    def slow_down(self, host: str, delay_sec: float) -> None:
        """Honour a host's own wish (Crawl-delay), where it is longer than ours."""
        state = self._host(host.lower())
        state.delay_sec = max(state.delay_sec, delay_sec)

    def pause(self, host: str, wait_sec: float) -> None:
        """The host said Retry-After: callers that ask `paused` leave it alone until then."""
        state = self._host(host.lower())
        state.paused_until = max(state.paused_until, time.monotonic() + wait_sec)

    def paused(self, host: str) -> bool:
        state = self._hosts.get(host.lower())
        return state is not None and state.paused_until > time.monotonic()

    def _host(self, host: str) -> _Host:
        if host not in self._hosts:
            self._hosts[host] = _Host(asyncio.Semaphore(self.concurrency), self.quiet_until, self.delay_sec)
            self._forget_idle()
        self._hosts.move_to_end(host)
        return self._hosts[host]

    def _forget_idle(self) -> None:
        now = time.monotonic()
        while len(self._hosts) > _REMEMBERED_HOSTS:
            name, oldest = next(iter(self._hosts.items()))
            if oldest.users or max(oldest.free_at, oldest.paused_until) > now:
                return
            del self._hosts[name]


def next_poll(now: float, every_sec: float, failures: int, asked_wait_sec: float | None, rng: random.Random) -> float:
    """Time of a feed's next poll.

    After n failures in a row the interval is 2^n times as long, a day at most; Retry-After can only prolong it.
    Jitter of 25% keeps feeds that failed together (a network away) from coming back together.
    """
    wait_sec = min(every_sec * 2.0 ** min(failures, 20), max(_MAX_BACKOFF_SEC, every_sec))
    if failures:
        wait_sec *= 1 + rng.uniform(-_JITTER, _JITTER)
    return now + max(wait_sec, asked_wait_sec or 0.0)
