"""Work on strangers' bytes in processes of their own, bounded in memory and killed when they take too long."""

import asyncio
import resource
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import to_process

from producers.feeds.errors import ParseError

T = TypeVar("T")
A = TypeVar("A")

_MEMORY_BYTES = 1 << 30
"""What one document may need: a feed of 16 MiB in 2,000 entries takes 0.2 GB, one made to be dear 2.4 GB."""

_STATM = Path("/proc/self/statm")
_STATM_DATA_FIELD = 5


class Workers:
    """At most `processes` at once; started when needed, reused, gone with the event loop.

    The limit is on CPU time: beside models that take every core, an honest feed may wait long for little work.
    `wall_sec` ends what does not even use its CPU time, or never returns from C code.
    """

    def __init__(self, processes: int = 2, cpu_sec: float = 20.0, wall_sec: float = 300.0) -> None:
        self._limiter = anyio.CapacityLimiter(processes)
        self._cpu_sec = cpu_sec
        self._wall_sec = wall_sec

    async def run(self, function: Callable[[A], T], argument: A) -> T:
        """Result of `function(argument)`.

        Raises:
            ParseError: `parse_timeout`, `parse_memory`, or `parse_crashed` where the process died; or its own.
        """
        async with self._limiter:
            try:
                async with asyncio.timeout(self._wall_sec):
                    return await to_process.run_sync(_bounded, function, argument, self._cpu_sec, cancellable=True)
            except (TimeoutError, _OutOfTime):
                raise ParseError("parse_timeout", f"reading it took more than {self._cpu_sec:g} s of CPU") from None
            except anyio.BrokenWorkerProcess as error:
                raise ParseError("parse_crashed", f"the process that read it died: {error}") from None


class _OutOfTime(BaseException):
    """Not an Exception, so that no library's `except Exception` takes it for a fault in the document."""


def _bounded(function: Callable[[A], T], argument: A, cpu_sec: float) -> T:
    _settle_in()
    signal.setitimer(signal.ITIMER_PROF, cpu_sec, 1.0)  # again each second, should a bare `except:` swallow it
    try:
        return function(argument)
    except MemoryError:
        raise ParseError("parse_memory", f"reading it took more than {_MEMORY_BYTES >> 20} MiB") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _out_of_time(*_: object) -> None:
    raise _OutOfTime


@cache
def _settle_in() -> None:
    """Once per process. Ctrl-C in a terminal reaches workers too, but the service decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, _out_of_time)
    if _STATM.exists():  # Linux: elsewhere the limit on time has to do
        data_bytes = int(_STATM.read_text().split()[_STATM_DATA_FIELD]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes + _MEMORY_BYTES, hard))
