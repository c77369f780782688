"""`stillhouse score`: the cascade over a file, without Kafka."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

if TYPE_CHECKING:
    from models.score_file import Result


def score(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="JSON lines, one article each; - reads stdin.")],
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="NAME|FOLDER", help="NAME, NAME/vN or a package folder; may be repeated."),
    ] = None,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Compute every filter with the scorer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, also on a terminal.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the JSON lines to a file.")] = None,
) -> None:
    """Score articles: one line each, in the form of articles.scored or articles.rejected, in input order.

    A terminal shows a readable summary instead, unless --json asks for the lines. Lines that are no article are
    reported on stderr with their numbers.
    """
    from core.claims import MemoryClaims
    from core.jsonl import open_input, read_lines
    from core.settings import load_settings
    from models.prepare import prepare_weights
    from models.registry import load_cascade
    from models.score_file import score_lines
    from models.selection import select

    settings, activation = select(load_settings(), filters or [])
    prepare_weights(settings)
    with ExitStack() as stack:
        lines = read_lines(stack.enter_context(open_input(file)))
        cascade = load_cascade(settings, activation, gates=not no_gate)
        results = _report_refusals(score_lines(cascade, lines, MemoryClaims()))
        if out:
            count = _write(results, stack.enter_context(out.open("wb")))
            typer.echo(f"{count} records written to {out}.", err=True)
        elif as_json or not sys.stdout.isatty():
            _write(results, sys.stdout.buffer)
        else:
            _show(results, {name: [t.name for t in p.spec.tiers] for name, p in cascade.packages.items()})


def _report_refusals(results: "Iterator[Result]") -> "Iterator[Result]":
    from core.errors import RefusedRecord

    refused = 0
    for result in results:
        if isinstance(result.outcome, RefusedRecord):
            refused += 1
            typer.echo(f"line {result.line}: {result.outcome}", err=True)
        else:
            yield result
    if refused:
        typer.echo(f"{refused} lines refused.", err=True)


def _write(results: "Iterator[Result]", stream: BinaryIO) -> int:
    from core.messages import Rejected, Scored

    count = 0
    for result in results:
        if isinstance(result.outcome, Scored | Rejected):
            stream.write(result.outcome.to_bytes() + b"\n")
            count += 1
    stream.flush()
    return count


def _show(results: "Iterator[Result]", tiers: dict[str, list[str]]) -> None:
    import orjson
    from rich.console import Console

    from core.messages import Rejected, Scored
    from models.results_view import Results, print_best, print_rejected

    console, shown = Console(), Results(tiers)
    with console.status("scoring") as status:
        for result in results:
            if isinstance(result.outcome, Scored | Rejected):
                shown.add(orjson.loads(result.outcome.to_bytes()))
                status.update(f"{len(shown.scored)} scored, {len(shown.rejected)} rejected")
    print_best(console, shown, count=10)
    print_rejected(console, shown.rejected)
