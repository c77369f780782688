"""The front door: the `stillhouse` command.

Each folder mounts its own commands; nothing heavy is imported before one of them runs.
"""

import atexit
import contextlib
import importlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.models import CommandInfo

from core.errors import StillhouseError
from front import releasing
from models.processor import settle_threads
from producers import cli as producers_cli

if TYPE_CHECKING:
    from consumers.active import Loader
    from core.settings import Settings
    from producers.feeds.report import FeedRecorder

FOLDERS = ("consumers", "models", "offline", "benchmarks")

PANELS = {
    "Start here": ("demo", "run", "score"),
    "The stream": ("publish", "feeds", "tail", "board", "status", "dead", "topics"),
    "Filters": ("filters", "train", "evaluate", "release", "releases", "rollback", "retrain", "hub", "weights"),
    "Labels and quality": ("oracle", "labels", "quality", "drift", "backtest"),
    "The project": ("config", "bench", "docs"),
}
"""How `--help` groups the commands."""


def build_app() -> typer.Typer:
    """The whole command line; imports every folder's cli module, which are light by rule."""
    app = typer.Typer(
        name="stillhouse",
        help="Scores live article feeds on Kafka with small local models. Start with: stillhouse demo",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for command in (demo, run, config):
        app.command()(command)
    producers_cli.register(app, _feed_recorder)
    releasing.register(app)
    for folder in FOLDERS:
        importlib.import_module(f"{folder}.cli").register(app)
    _merge_groups(app)
    _arrange(app)
    return app


def main() -> None:
    """Entry point of the `stillhouse` script: an error that a user can mend is told, not traced."""
    settle_threads()
    try:
        build_app()()
    except StillhouseError as error:
        typer.secho(f"Error: {error.message}", fg=typer.colors.RED, err=True)
        if error.action:
            typer.secho(f"  -> {error.action}", err=True)
        sys.exit(1)


def demo(
    articles: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON lines; default: the samples.")] = None,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N lines.")] = None,
    board: Annotated[bool, typer.Option("--board", help="As live feeds, in a browser, until Ctrl-C.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="A filter learns while the stream runs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Run the whole stream once on sample articles, and show what became of every one of them."""
    import logging
    import time

    from core.settings import load_settings
    from models.prepare import prepare_weights

    settings = load_settings()
    prepare_weights(settings)
    started = time.perf_counter()
    if loop:
        from front.demo_loop import show_loop

        logging.disable(logging.WARNING)
        show_loop(settings, as_json)
        return
    loader = _early_loader(settings)
    if board:
        from consumers.logs import configure_logging
        from front.demo_board import run_board

        configure_logging(settings)
        run_board(settings, loader, articles, count)
        return
    from front.demo import run_demo
    from front.demo_report import show

    logging.disable(logging.WARNING)  # bad records are part of the show, and shown as dead letters
    finished = run_demo(settings, loader, articles, count, started=started)
    show(settings, finished, as_json)
    raise typer.Exit(1 if finished.tally.faults() else 0)


def run(
    stage: Annotated[
        Literal["screen", "score", "oracle", "labels", "all"], typer.Option(help="Which stage this process runs.")
    ] = "all",
    feeds: Annotated[Path | None, typer.Option(metavar="FILE", help="Also read these feeds: TOML or OPML.")] = None,
    board: Annotated[
        bool | None, typer.Option("--board/--no-board", help="The board in a browser; default: with all stages.")
    ] = None,
) -> None:
    """Run the stream until SIGTERM or Ctrl-C, which finish and commit the batches in hand.

    Without STILLHOUSE_KAFKA the embedded broker is started on 127.0.0.1, or joined where it runs already.
    """
    import asyncio

    from consumers.logs import configure_logging
    from consumers.runtime import STAGES
    from core.settings import load_settings
    from front.serve import Plan, serve
    from models.prepare import prepare_weights
    from producers.feeds.subscriptions import load_subscriptions

    settings = load_settings()
    configure_logging(settings)
    plan = Plan(
        stages=STAGES if stage == "all" else (stage,),
        feeds=load_subscriptions(feeds) if feeds else None,
        board=stage == "all" if board is None else board,
    )
    loader = _loader(settings)
    if {"screen", "score"} & set(plan.stages):
        prepare_weights(settings)
        loader = _early_loader(settings)
    asyncio.run(serve(settings, plan, loader))


def config(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Show every setting with its value and where it comes from; secrets are masked."""
    from dataclasses import asdict

    import orjson

    from core.origins import describe, unknown_variables
    from core.settings import load_settings

    values = describe(load_settings())
    for name in unknown_variables():
        typer.echo(f"{name} is set, but no setting has this name.", err=True)
    if as_json:
        typer.echo(orjson.dumps({value.name: asdict(value) for value in values}, option=orjson.OPT_INDENT_2))
        return
    for value in values:
        shown = (
            ":".join(value.value) if isinstance(value.value, list) else str("" if value.value is None else value.value)
        )
        typer.secho(f"{value.variable:<40} {value.origin:<12} {shown}", bold=value.origin != "default")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"stillhouse {version('stillhouse')}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Typer reads the global options from this signature."""


def _loader(settings: "Settings") -> "Loader":
    """Loads one release set after another, and keeps what two have in common."""
    from models.registry import ReleaseLoader

    releases = ReleaseLoader(settings)
    return lambda activation: releases.load(activation).cascade


def _early_loader(settings: "Settings") -> "Loader":
    """The same, which has begun with the active set already."""
    from front.early import EarlyLoader

    return EarlyLoader(_loader(settings), settings.filters)


def _feed_recorder(settings: "Settings") -> "FeedRecorder":
    """Metrics of `feeds run`, served until the process ends."""
    from consumers.metrics import open_recorder

    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(open_recorder(settings))


def _arrange(app: typer.Typer) -> None:
    """Panels of the help text, in the order of PANELS."""
    places = {name: (number, panel) for number, (panel, names) in enumerate(PANELS.items()) for name in names}
    nowhere = (len(PANELS), "Others")

    def place(command: CommandInfo) -> tuple[int, str]:
        return places.get(command.name or str(getattr(command.callback, "__name__", "")), nowhere)

    app.registered_commands.sort(key=lambda command: place(command)[0])
    for command in app.registered_commands:
        command.rich_help_panel = place(command)[1]
    for group in app.registered_groups:
        group.rich_help_panel = places.get(str(group.name), nowhere)[1]


def _merge_groups(app: typer.Typer) -> None:
    """Folders may add to one group (`filters` has commands of models and of offline): the first one takes all."""
    merged: dict[str, typer.Typer] = {}
    groups = []
    for group in app.registered_groups:
        inner = group.typer_instance
        if not isinstance(group.name, str) or inner is None:
            raise TypeError("mount a group with add_typer(group, name=...)")
        if group.name in merged:
            merged[group.name].registered_commands += inner.registered_commands
        else:
            merged[group.name] = inner
            groups.append(group)
    app.registered_groups = groups


if __name__ == "__main__":
    main()
