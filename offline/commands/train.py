"""`stillhouse train` and `stillhouse evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from core.settings import Settings
    from offline.training.corpus import Source
    from offline.training.features import Report

Labels = Annotated[
    Path | None,
    typer.Option(exists=True, help="Labels as JSON lines, or a folder of x_labels.jsonl; default: the label store."),
]
Articles = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Their articles; default: x_articles.jsonl beside x_labels.jsonl."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    app.command()(train)
    app.command()(evaluate)


def train(
    name: Annotated[str | None, typer.Argument(help="Filter, for example uplifting; or commerce.")] = None,
    labels: Labels = None,
    articles: Articles = None,
    out: Annotated[Path | None, typer.Option(help="Package folder to write; default: a candidate.")] = None,
    trunk: Annotated[
        str | None,
        typer.Option(help="Train this shared trunk (joint-270m/v1) and all its filters; needs --labels DIR."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a filter on a released trunk: probe, head, calibration, intervals, gate. Run it again after a kill."""
    from core.errors import SettingsError
    from core.settings import load_settings

    settings = load_settings()
    if trunk and not name:
        if not labels or not labels.is_dir():
            raise SettingsError("--trunk needs a folder of labels.", action="Name it: --labels DIR.")
        reports = _train_trunk(settings, trunk, labels, out)
    elif name and not trunk:
        reports = {name: _train_one(settings, name, (labels, articles), out)}
    else:
        raise SettingsError("Name a filter or a trunk.", action="stillhouse train uplifting --labels FILE")
    _show(reports, as_json)


def evaluate(
    package: Annotated[str, typer.Argument(help="Filter name, or the folder of a package.")],
    labels: Labels = None,
    articles: Articles = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Use every article: for labels that training has never seen.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report with plots.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a package on held-out articles beside its floors and the noise floor."""
    from core.settings import load_settings
    from offline.assessment import assess_package
    from offline.candidates import trunk_of
    from offline.versions import current_folder

    settings = load_settings()
    folder = Path(package) if (Path(package) / "config.yaml").is_file() else current_folder(settings.filters, package)
    with _bars() as bars:
        found = assess_package(
            folder,
            trunk_of(settings, folder),
            _sources(settings, folder, (labels, articles)),
            _workshop(settings, bars),
            "all" if everything else "held-out",
        )
    if report:
        from offline.report import write_report

        write_report(found, report)
        typer.echo(f"Report written to {report}.", err=True)
    _show({found["filter"]: found}, as_json)


def _train_one(
    settings: "Settings", name: str, files: tuple[Path | None, Path | None], out: Path | None
) -> dict[str, Any]:
    from core.commerce import COMMERCE
    from core.spec import load_spec
    from offline.candidates import candidate_folder, remember_sources, trunk_of
    from offline.training.commerce_package import train_commerce
    from offline.training.packages import Draft
    from offline.training.pipeline import Order, train_filter
    from offline.training.settled import importance_of
    from offline.versions import current_folder

    folder = current_folder(settings.filters, name)
    draft = Draft(folder, load_spec(folder / "config.yaml"))
    target = out or candidate_folder(settings, name) / name / draft.spec.version
    trunk = trunk_of(settings, folder)
    sources = _sources(settings, folder, files)
    with _bars() as bars:
        workshop = _workshop(settings, bars)
        if name == COMMERCE:
            found = train_commerce(draft, sources, workshop, trunk, target)
        else:
            found = train_filter(Order(draft, sources, trunk, target, importance_of(trunk)), workshop)
    if out is None:
        remember_sources(settings, name, sources)
    typer.echo(f"{name}: package written to {target}. Next: stillhouse release {name}", err=True)
    return found


def _train_trunk(settings: "Settings", trunk: str, data: Path, out: Path | None) -> dict[str, Any]:
    from core.inventory import TRUNKS
    from core.releases import find_package
    from offline.training.trunk_set import train_set

    trunk_name, _, version = trunk.partition("/")
    folder = find_package(settings.filters, f"{TRUNKS}/{trunk_name}", version)
    with _bars() as bars:
        return train_set(folder, data, out or folder.parents[2], _workshop(settings, bars), _step_bar(bars))


def _sources(settings: "Settings", folder: Path, files: tuple[Path | None, Path | None]) -> tuple["Source", ...]:
    """The files named, else the label store's present state."""
    from core.spec import load_spec
    from offline.candidates import candidate_folder, export_source
    from offline.label_store import LabelStore
    from offline.training.corpus import Source, sources_in
    from offline.training.packages import Draft

    labels, articles = files
    if labels and labels.is_dir():
        return tuple(sources_in(labels))
    if labels:
        return (Source(labels.stem.removesuffix("_labels"), articles or _beside(labels), labels),)
    store = LabelStore(settings.label_store)
    draft = Draft(folder, load_spec(folder / "config.yaml"))
    return (export_source(store, draft, store.snapshot(), candidate_folder(settings, draft.spec.name)),)


def _beside(labels: Path) -> Path:
    from core.errors import SettingsError
    from offline.transfer import companion

    if not (found := companion(labels)):
        raise SettingsError(f"{labels}: no articles beside it.", action="Name them: --articles FILE.")
    return found


def _workshop(settings: "Settings", bars: "Progress") -> Any:
    from models.prepare import prepare_weights
    from offline.candidates import open_workshop

    prepare_weights(settings)
    return open_workshop(settings, _feature_bar(bars))


def _bars() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _feature_bar(bars: "Progress") -> "Report":
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what.split("-")[0], total=total)
        bars.update(tasks[what], completed=done, total=total)

    return report


def _step_bar(bars: "Progress") -> Any:
    task = bars.add_task("trunk", total=None)

    def report(progress: Any) -> None:
        text = f"trunk, loss {progress.loss:.2f}, {progress.tokens_per_sec:.0f} tokens/s"
        bars.update(task, completed=progress.step, total=progress.steps, description=text)

    return report


def _show(reports: dict[str, dict[str, Any]], as_json: bool) -> None:
    import orjson
    from rich.console import Console
    from rich.table import Table

    if as_json:
        typer.echo(orjson.dumps(reports, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())
        return
    columns = ("mae", "spearman", "average_precision", "mae_relevant", "spread")
    for name, found in reports.items():
        if "weighted" not in found:
            typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())
            continue
        table = Table(f"{name}, {found['articles']} held-out articles", *columns)
        rows = {"this filter": found["weighted"], "behind its gate": found["cascade"], **found["floors"]}
        if found["noise"]:
            rows["annotator against annotator"] = found["noise"]
        for title, values in rows.items():
            table.add_row(title, *(f"{values[c]:.3f}" if c in values else "-" for c in columns))
        Console().print(table)
