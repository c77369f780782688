"""The front door: the `stillhouse` command.

Each folder mounts its own commands; nothing heavy is imported before one of them runs.
"""

import importlib
import importlib.util
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from core.errors import StillhouseError

FOLDERS = ("producers", "consumers", "models", "offline", "benchmarks")


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
    app.command()(config)
    for folder in FOLDERS:
        if importlib.util.find_spec(f"{folder}.cli"):
            importlib.import_module(f"{folder}.cli").register(app)
    _merge_groups(app)
    return app


def main() -> None:
    """Entry point of the `stillhouse` script: an error that a user can mend is told, not traced."""
    try:
        build_app()()
    except StillhouseError as error:
        typer.secho(f"Error: {error.message}", fg=typer.colors.RED, err=True)
        if error.action:
            typer.secho(f"  -> {error.action}", err=True)
        sys.exit(1)


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
