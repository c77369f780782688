"""`stillhouse demo --board`: the sample articles as live feeds of a local site, read, scored and shown in a browser."""

import asyncio
from pathlib import Path

from consumers.active import Loader
from consumers.runtime import STAGES
from core.article import Article
from core.settings import Settings
from front.demo import distinct_lines, own_machine
from front.serve import Plan, serve
from producers.feeds.sample_server import sample_feeds


def run_board(settings: Settings, loader: Loader, articles: Path | None = None, count: int | None = None) -> None:
    """Until SIGTERM or Ctrl-C. Lines that are no article are left out: a feed has none."""
    written = [line.outcome for line in distinct_lines(articles, count) if isinstance(line.outcome, Article)]
    with own_machine(settings) as own, sample_feeds(written) as subscriptions:
        local = own.model_copy(update={"feeds_allow_private": True})
        asyncio.run(serve(local, Plan(STAGES, feeds=subscriptions, board=True), loader))
