"""Ports for servers that tests start."""

import contextlib
import random
import socket

_draw = random.SystemRandom()  # the seeded generator would give every run the same ports


def free_port(count: int = 1) -> int:
    """First of `count` neighbouring ports that nobody listens on.

    Below 32768: above, the system may give a port to some client before the server listens.
    """
    while True:
        first = _draw.randrange(20_000, 32_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
