"""Work on strangers' bytes in processes of their own, which are killed where they take too long."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_process

from producers.feeds.errors import ParseError

T = TypeVar("T")
A = TypeVar("A")


class Workers:
    """At most `processes` at once; started when needed, reused, gone with the event loop."""

    def __init__(self, processes: int = 2, timeout_sec: float = 30.0) -> None:
        self._limiter = anyio.CapacityLimiter(processes)
        self._timeout_sec = timeout_sec

    async def run(self, function: Callable[[A], T], argument: A) -> T:
        """Result of `function(argument)`.

        Raises:
            ParseError: `parse_timeout`, or `parse_crashed` where the process died (out of memory, a fault in C code).
        """
        async with self._limiter:
            try:
                async with asyncio.timeout(self._timeout_sec):
                    return await to_process.run_sync(function, argument, cancellable=True)
            except TimeoutError:
                raise ParseError("parse_timeout", f"reading it took more than {self._timeout_sec:g} s") from None
            except anyio.BrokenWorkerProcess as error:
                raise ParseError("parse_crashed", f"the process that read it died: {error}") from None
