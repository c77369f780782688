"""`stillhouse feeds run | check | status`."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from core.settings import Settings
    from producers.feeds.report import FeedRecorder, RunReport

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FeedsOption = Annotated[
    Path | None,
    typer.Option("--feeds", help="TOML or OPML list; default: feeds.toml here, else in STILLHOUSE_HOME."),
]

RecorderFactory = Callable[["Settings"], "FeedRecorder | None"]


def register(app: typer.Typer, recorder: RecorderFactory = lambda _: None) -> None:
    """Mount `feeds` on the front door, which also brings the metrics."""
    feeds = typer.Typer(help="Read news feeds into articles.raw.", no_args_is_help=True)
    feeds.command()(_run_command(recorder))
    feeds.command()(check)
    feeds.command()(status)
    app.add_typer(feeds, name="feeds")


def _run_command(recorder: RecorderFactory) -> Callable[..., None]:
    def run(
        feeds: FeedsOption = None,
        once: Annotated[bool, typer.Option("--once", help="Poll every feed once, and stop.")] = False,
        as_json: JsonOption = False,
    ) -> None:
        """Poll feeds and publish their new entries. Stop with Ctrl-C; a kill loses nothing."""
        import orjson

        from core.settings import load_settings
        from producers.feeds.service import run_feeds
        from producers.feeds.subscriptions import load_subscriptions

        settings = load_settings()
        subscriptions = load_subscriptions(find_list(feeds, settings))
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is away is reported by us
        if not logging.getLogger().hasHandlers():
            logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        report = run_feeds(settings, subscriptions, once=once, recorder=recorder(settings))
        if (done := asyncio.run(_until_signal(report))) is None:
            return
        if as_json:
            counts = {"polls": done.polls, "entries": done.entry_counts, "failing": done.failing}
            typer.echo(orjson.dumps(counts).decode())
        else:
            typer.echo(f"{done.polls.total()} feeds polled: {_counts(done.polls)}.")
            typer.echo(f"Entries: {_counts(done.entry_counts) or 'none'}.")

    return run


def check(
    url: Annotated[str, typer.Argument(help="Address of a feed.")],
    limit: Annotated[int, typer.Option("--limit", min=0, help="Entries to look at, with their pages.")] = 10,
    fulltext: Annotated[
        Literal["auto", "always", "never"], typer.Option("--fulltext", help="Fetch pages: for teasers, always, never.")
    ] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Show what a feed would publish, and why not. Nothing is published or remembered."""
    import orjson

    from core.settings import load_settings
    from producers.feeds.check import check_feed
    from producers.feeds.terminal import print_check

    found = asyncio.run(check_feed(load_settings(), url, limit=limit, fulltext=fulltext, delay_sec=0.5))
    if as_json:
        typer.echo(orjson.dumps(found.to_dict()).decode())
    else:
        print_check(found)


def status(feeds: FeedsOption = None, as_json: JsonOption = False) -> None:
    """Show how each feed of the list fares: last outcome, failures in a row, next poll."""
    import dataclasses

    import orjson

    from core.settings import load_settings
    from producers.feeds.state_file import FeedState, read_feed, read_only
    from producers.feeds.subscriptions import load_subscriptions
    from producers.feeds.terminal import print_status

    settings = load_settings()
    listed = load_subscriptions(find_list(feeds, settings)).feeds
    with read_only(settings.state) as state:
        states = [read_feed(state, feed.url) if state else FeedState(feed.url) for feed in listed]
    if as_json:
        typer.echo(orjson.dumps([dataclasses.asdict(feed) for feed in states]).decode())
    else:
        print_status(states)


def find_list(given: Path | None, settings: "Settings") -> Path:
    """The list that was named, else feeds.toml or feeds.opml here or in STILLHOUSE_HOME."""
    if given:
        return given
    places = [folder / name for folder in (Path(), settings.home) for name in ("feeds.toml", "feeds.opml")]
    return next((place for place in places if place.is_file()), places[0])


async def _until_signal(work: Coroutine[Any, Any, "RunReport"]) -> "RunReport | None":
    """Result of `work`; None where SIGTERM or Ctrl-C ended it."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return None


def _counts(counter: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items(), key=lambda item: -item[1]))
