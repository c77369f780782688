"""`stillhouse filters new`: the other commands of the group are in models/."""

from pathlib import Path
from typing import Annotated

import typer

filters = typer.Typer(help="Filter packages: list, check, show, and new ones from a rubric.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Mount the command on the front door, which merges groups of one name."""
    app.add_typer(filters, name="filters")


@filters.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Name of the new filter.")],
    rubric: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Text that says what to score.")],
    labels: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A labelled file, to agree with its dimensions.")
    ] = None,
    version: Annotated[str | None, typer.Option(metavar="vN", help="Else that of the labels, else v1.")] = None,
) -> None:
    """Write the draft of a new filter from its rubric. Then: stillhouse train NAME --labels FILE."""
    from core.settings import load_settings
    from core.spec import load_spec
    from offline.new_filter import read_labelled, write_draft

    root = load_settings().filters[-1]
    labelled = read_labelled(labels, name) if labels else None
    folder = write_draft(root, name, rubric.read_text(encoding="utf-8"), labelled, version)
    spec = load_spec(folder / "config.yaml")
    typer.echo(f"{folder}: a draft with {len(spec.dimensions)} dimensions.")
    for dimension in spec.dimensions:
        typer.echo(f"  {dimension.weight:6.3f}  {dimension.name}: {dimension.meaning}")
    typer.echo(f"Next: stillhouse train {name} --labels FILE, or first stillhouse oracle score FILE --filter {name}.")
