"""One pause for all calls: when the provider says 402 or 429 to one of them, none is sent for a while."""

import asyncio
import random
import time
from dataclasses import dataclass

from core.errors import TransientError


class OracleAway(TransientError):
    """The oracle does not answer now. Nothing is lost: the same request may be asked later."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential pauses with full jitter. `patience_sec` is how long one ask waits before it gives way."""

    first_sec: float = 1.0
    longest_sec: float = 300.0
    patience_sec: float = 60.0

    def draw_sec(self, failures: int) -> float:
        """A pause after the `failures`-th failure in a row (from 1), between half and the whole of its bound."""
        return min(self.longest_sec, self.first_sec * 2.0 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)


class Pause:
    """Shared by all asks of one process."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._until = 0.0
        self._failures = 0
        self._reason = ""

    @property
    def remaining_sec(self) -> float:
        return max(0.0, self._until - time.monotonic())

    def start(self, reason: str, asked_sec: float | None) -> None:
        """Pause everybody; `asked_sec` is what the provider asks for. Failures during a pause do not extend it."""
        if self.remaining_sec > 0:
            return
        self._failures += 1
        self._reason = reason
        self._until = time.monotonic() + max(self._backoff.draw_sec(self._failures), asked_sec or 0.0)

    def end(self) -> None:
        """A call got through."""
        self._failures = 0

    async def wait(self, deadline: float) -> None:
        """Wait out the pause. Raises OracleAway where it lasts beyond `deadline` (time.monotonic)."""
        while (remaining := self.remaining_sec) > 0:
            if time.monotonic() + remaining > deadline:
                raise OracleAway(
                    f"The oracle pauses for {remaining:.0f} s more: {self._reason}.",
                    action="Requests wait on their topic. Check quota, billing and the key.",
                )
            await asyncio.sleep(remaining * random.uniform(1.0, 1.1))
