"""`stillhouse filters list|show|check`: what is installed, what it means, and whether it can be used."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.inventory import Entry
    from core.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]

filters = typer.Typer(help="Filter packages: list, show, check.", no_args_is_help=True)


@filters.command("list")
def list_filters(as_json: Json = False) -> None:
    """List every version of every filter; active ones score the stream."""
    from core.inventory import activation, list_entries
    from core.settings import load_settings

    settings = load_settings()
    active = activation(settings.filters).filters
    rows = [
        _summary(entry) | {"active": active.get(entry.name) == entry.version}
        for entry in list_entries(settings.filters)
        if entry.kind == "filter" and not entry.shadowed
    ]
    if as_json:
        _print_json(rows)
        return
    from models.filters_view import print_filters

    print_filters(rows)


@filters.command()
def show(
    name: Annotated[str, typer.Argument(help="NAME (the active version, else the newest) or NAME/vN.")],
    as_json: Json = False,
) -> None:
    """Show one filter: dimensions, tiers, gatekeepers, gate and measured quality."""
    from core.settings import load_settings

    entry = _find(load_settings(), name)
    if as_json:
        _print_json(_details(entry))
        return
    from models.filters_view import print_filter

    print_filter(_details(entry))


@filters.command()
def check(
    path: Annotated[Path | None, typer.Argument(help="A package, or a folder of packages; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Verify configs, prompts, trunks and the sha256 of every file; exit 1 if anything is wrong."""
    from core.inventory import check_all, check_path
    from core.settings import load_settings

    settings = load_settings()
    findings = check_path(path, settings.filters) if path else check_all(settings.filters)
    if as_json:
        _print_json([{"package": f.label, "folder": str(f.folder), "problem": f.problem} for f in findings])
    else:
        for finding in findings:
            mark = typer.style("broken", fg="red") if finding.problem else typer.style("ok    ", fg="green")
            typer.echo(f"{mark} {finding.label}")
            if finding.problem:
                typer.echo(f"       {finding.problem}")
    if any(finding.problem for finding in findings):
        raise typer.Exit(1)


def _find(settings: "Settings", name: str) -> "Entry":
    from core.errors import PackageError
    from core.inventory import activation, list_entries

    wanted, _, version = name.partition("/")
    found = {
        entry.version: entry
        for entry in list_entries(settings.filters)
        if entry.name == wanted and (not version or entry.version == version)
    }
    if not found:
        raise PackageError(f"No filter {name!r}.", action="See `stillhouse filters list`.")
    active = activation(settings.filters).filters.get(wanted)
    return found[active] if active in found else list(found.values())[-1]


def _summary(entry: "Entry") -> dict[str, Any]:
    from core.errors import PackageError
    from core.spec import load_spec

    try:
        spec = load_spec(entry.folder / "config.yaml")
    except PackageError:
        description, status = "run `stillhouse filters check`", "broken"
    else:
        description, status = spec.description, spec.status
    return {
        "name": entry.name,
        "version": entry.version,
        "status": status,
        "description": description,
        "folder": str(entry.folder),
    }


def _details(entry: "Entry") -> dict[str, Any]:
    from core.calibration import Gate
    from core.commerce import THRESHOLDS, CommerceThresholds
    from core.package import MANIFEST, Manifest, read_json
    from core.spec import load_spec

    details: dict[str, Any] = load_spec(entry.folder / "config.yaml").model_dump(mode="json")
    details["folder"] = str(entry.folder)
    if (entry.folder / MANIFEST).is_file():
        manifest = read_json(entry.folder / MANIFEST, Manifest)
        details["metrics"] = dict(manifest.metrics)
        details["trunk"] = manifest.trunk.model_dump() if manifest.trunk else None
        if (entry.folder / "gate.json").is_file():
            details["gate_measured"] = read_json(entry.folder / "gate.json", Gate).model_dump()
        if (entry.folder / THRESHOLDS).is_file():
            details["thresholds"] = read_json(entry.folder / THRESHOLDS, CommerceThresholds).model_dump()
    return details


def _print_json(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
