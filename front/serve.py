"""`stillhouse run`: the stages and, on request, feeds and board, in one process with shared metrics."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from consumers.active import Loader
from consumers.app import running, until_stopped
from consumers.board.app import serve as serve_board
from consumers.embedded import embedded_broker
from consumers.metrics import open_recorder
from consumers.runtime import StageName, open_stream
from core.settings import Settings
from producers.feeds.service import run_feeds
from producers.feeds.subscriptions import Subscriptions


@dataclass(frozen=True)
class Plan:
    """What one process runs. `feeds` None leaves articles.raw to others."""

    stages: Sequence[StageName]
    feeds: Subscriptions | None = None
    board: bool = False


async def serve(settings: Settings, plan: Plan, loader: Loader) -> None:
    """Run until SIGTERM or SIGINT; batches in hand are finished and committed before it returns."""
    with contextlib.ExitStack() as stack:
        if settings.embedded:
            stack.enter_context(embedded_broker(settings))
        recorder = stack.enter_context(open_recorder(settings))

        async def board() -> None:
            if plan.board:
                await serve_board(settings, recorder)

        async def feeds() -> None:
            if plan.feeds:
                await run_feeds(settings, plan.feeds, recorder=recorder)

        stopped = asyncio.create_task(until_stopped())  # before anything starts, so that an early signal drains too
        async with (
            running([board]),
            open_stream(settings, plan.stages, loader, recorder=recorder),
            running([feeds]),
        ):
            await stopped
