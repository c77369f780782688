"""Commands that need both the packages (offline) and the stream (Kafka): release, releases, rollback, retrain."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.settings import Settings
    from offline.activation import Activated

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--no-announce", help="Do not tell running consumers.")]


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    for command in (release, releases, rollback, retrain):
        app.command()(command)


def release(
    name: Annotated[str, typer.Argument(help="Filter to release.")],
    candidate: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Trained package; else the last one trained.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(exists=True, help="Labels to judge it on; else the store's.")] = None,
    articles: Annotated[Path | None, typer.Option(exists=True, help="Their articles.")] = None,
    no_announce: Quiet = False,
    as_json: Json = False,
) -> None:
    """Release a trained candidate if it is no worse than the active version and reaches its bars."""
    from core.commerce import COMMERCE
    from core.errors import PackageError
    from core.settings import load_settings
    from offline.candidates import candidate_of
    from offline.release import release as release_candidate
    from offline.training.corpus import Source
    from offline.transfer import companion

    if name == COMMERCE:
        raise PackageError(
            "The commerce heads have no bars: a person reads the candidate's card and decides.",
            action="See docs/filters.md, The commerce heads.",
        )
    settings = load_settings()
    files: tuple[Source, ...] = ()
    if labels:
        files = (Source(labels.stem.removesuffix("_labels"), articles or companion(labels) or labels, labels),)
    chosen = candidate_of(settings, name, candidate, files)
    released = release_candidate(settings.filters, chosen.folder, chosen.truth, chosen.predict)
    activated, verdict = released.activated, released.verdict
    told = False if no_announce else _announce(settings, activated)
    if as_json:
        _echo(_as_dict(activated, told) | {"verdict": verdict.to_dict()})
        return
    typer.echo(f"{activated.name} {activated.version} is released (before: {activated.previous or 'none'}).")
    typer.echo(f"{verdict.articles} held-out articles: MAE {verdict.metrics['mae']:.3f}" + _compared(verdict.current))
    _say_announced(told, no_announce)


def releases(
    announce: Annotated[
        bool, typer.Option("--announce", help="Tell running consumers what releases.json says.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What is active where: in releases.json, on filters.releases, and in the records scored last."""
    from rich.console import Console
    from rich.table import Table

    from core.settings import load_settings
    from front.release_view import release_rows

    settings = load_settings()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if announce:
        _announce_all(settings)
    rows, note = asyncio.run(release_rows(settings))
    if as_json:
        _echo({"filters": rows, "note": note})
        return
    table = Table("filter", "releases.json", "announced", "scoring now", "versions here")
    for row in rows:
        table.add_row(row["filter"], row["configured"] or "-", row["announced"] or "-", row["scoring"] or "-",
                      " ".join(row["versions"]))  # fmt: skip
    Console().print(table)
    if note:
        typer.echo(note, err=True)


def rollback(
    name: Annotated[str, typer.Argument(help="Filter to take back.")],
    to: Annotated[
        str | None, typer.Option(metavar="vN", help="Version; else the trained one before the active.")
    ] = None,
    no_announce: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make an earlier version active again, here and in running consumers."""
    from core.settings import load_settings
    from offline.activation import rollback as roll_back

    settings = load_settings()
    activated = roll_back(settings.filters, name, to)
    told = False if no_announce else _announce(settings, activated)
    if as_json:
        _echo(_as_dict(activated, told))
        return
    typer.echo(f"{name} is back at {activated.version} (was {activated.previous or 'none'}).")
    _say_announced(told, no_announce)


def retrain(
    name: Annotated[str, typer.Argument(help="Filter to train again.")],
    when: Annotated[str | None, typer.Option(help='Only then, for example "200 new labels".')] = None,
    no_announce: Quiet = False,
    as_json: Json = False,
) -> None:
    """Snapshot the labels, train, evaluate, and release or refuse: one line of verdict. Safe to run from cron."""
    from core.settings import load_settings
    from offline.candidates import open_workshop, train_from_store
    from offline.release import release as release_candidate
    from offline.retrain import parse_condition
    from offline.retrain import retrain as run_job

    settings = load_settings()
    result = run_job(
        settings,
        name,
        (
            lambda snapshot: train_from_store(settings, name, snapshot, open_workshop(settings)),
            lambda c: release_candidate(settings.filters, c.folder, c.truth, c.predict).activated,
        ),
        parse_condition(when) if when else None,
    )
    told = bool(result.activated) and not no_announce and _announce(settings, result.activated)
    if as_json:
        _echo(result.to_dict() | {"announced": told})
    else:
        typer.echo(result.line)
    if result.outcome == "failed":
        raise typer.Exit(1)


def _announce(settings: "Settings", activated: "Activated | None") -> bool:
    """True once the broker has it; a broker that is away is told as a warning: releases.json is written already."""
    from core.errors import TransientError
    from producers.releases import Release, announce

    if activated is None:
        return False
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        asyncio.run(announce(settings, [Release(activated.name, activated.version, activated.sha256)]))
    except TransientError as error:
        typer.secho(f"{error.message}", fg=typer.colors.YELLOW, err=True)
        typer.secho(f"  -> {error.action}", err=True)
        return False
    return True


def _announce_all(settings: "Settings") -> None:
    from core.commerce import COMMERCE
    from core.inventory import activation
    from core.package import MANIFEST, sha256_file
    from core.releases import find_package
    from producers.releases import Release, announce

    active = activation(settings.filters)
    named = {**active.filters, COMMERCE: active.commerce}
    found = [(name, version, find_package(settings.filters, name, version)) for name, version in named.items()]
    asyncio.run(announce(settings, [Release(name, v, sha256_file(folder / MANIFEST)) for name, v, folder in found]))


def _as_dict(activated: "Activated", told: bool) -> dict[str, Any]:
    return {
        "name": activated.name,
        "version": activated.version,
        "previous": activated.previous,
        "sha256": activated.sha256,
        "folder": str(activated.folder),
        "announced": told,
    }


def _say_announced(told: bool, quiet: bool) -> None:
    if told:
        typer.echo("Announced: running consumers switch between two batches.")
    elif not quiet:
        typer.echo("Consumers that start from now on use it; running ones were not told.")


def _compared(current: Any) -> str:
    return f" (before: {current['mae']:.3f})." if current else "."


def _echo(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value, default=str).decode())
