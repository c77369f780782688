"""`stillhouse quality`, `stillhouse drift` and `stillhouse backtest`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.estimates import Estimate
    from offline.backtest import Point

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    for command in (quality, drift, backtest):
        app.command()(command)


def quality(
    filter_name: Annotated[str | None, typer.Option("--filter", help="Only this filter.")] = None,
    days: Annotated[int, typer.Option(min=1, help="How many of the last days to show.")] = 14,
    as_json: Json = False,
) -> None:
    """How good the stream is: error, gate recall and recall by tier, each with its 95% interval.

    From labels that the oracle gave to routed and audited articles, weighted by the inverse of the probability
    with which each was asked.
    """
    from rich.console import Console
    from rich.table import Table

    from core.inventory import list_entries
    from core.settings import load_settings
    from core.spec import load_spec
    from offline.label_store import LabelStore
    from offline.quality import live_quality

    settings = load_settings()
    entries = [entry for entry in list_entries(settings.filters) if (entry.folder / "config.yaml").is_file()]
    specs = {(e.name, e.version): load_spec(e.folder / "config.yaml") for e in entries if e.kind == "filter"}
    rows = live_quality(LabelStore(settings.label_store).labels(filter_name), specs)
    shown_days = sorted({row.day for row in rows if row.day})[-days:]
    rows = [row for row in rows if row.day is None or row.day in shown_days]
    if as_json:
        _echo([row.to_dict() for row in rows])
        return
    table = Table("filter", "day", "labels", "MAE", "gate recall", "recall by tier")
    for row in rows:
        tiers = "\n".join(f"{name} {_interval(estimate)}" for name, estimate in row.tier_recall.items())
        day = row.day.isoformat() if row.day else "all days"
        table.add_row(
            f"{row.filter} {row.version}", day, str(row.labels), _interval(row.mae), _interval(row.gate_recall), tiers
        )
    Console().print(table)
    if not rows:
        typer.echo("No label with a propensity yet: the labels stage brings them once the oracle answers.", err=True)


def drift(
    name: Annotated[str, typer.Argument(help="Filter whose training articles are the reference.")],
    articles: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Recent articles, JSON lines.")],
    as_json: Json = False,
) -> None:
    """Has the stream moved away from the training articles? Probe scores, languages, sources, embeddings."""
    from core.settings import load_settings
    from offline.against_training import measure_drift

    result = measure_drift(load_settings(), name, articles)
    if as_json:
        _echo(result.to_dict())
        return
    values = {"probe": result.probe_psi, "languages": result.language_psi, "sources": result.source_psi}
    for what, reading in result.readings().items():
        value = values.get(what, result.embedding_shift)
        kind = "times chance" if what == "embeddings" else "PSI"
        typer.echo(f"{what:11}{reading:8} {value:.3f} {kind}")
    typer.echo(f"{result.live} articles against {result.reference} of the label store.")


def backtest(
    name: Annotated[str, typer.Argument(help="Filter whose labels are replayed.")],
    articles: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Labelled articles.")],
    labels: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Their labels.")],
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder for plot and table.")] = Path("backtest"),
    as_json: Json = False,
) -> None:
    """Replay labelled articles as if unlabelled, and compare routing policies at equal budgets."""
    from core.settings import load_settings
    from offline.against_training import labelled_pool
    from offline.backtest import Plan
    from offline.backtest import backtest as replay
    from offline.backtest_report import plot, table_rows, write_table

    pool = labelled_pool(load_settings(), name, articles, labels)
    points = replay(pool, Plan(seeds=seeds), lambda text: typer.echo(text, err=True))
    out.mkdir(parents=True, exist_ok=True)
    write_table(points, out / f"{name}.md")
    plot(points, name, out / f"{name}.png")
    if as_json:
        _echo(table_rows(points))
        return
    _say_needed(points)
    typer.echo(f"Table and plot: {out / name}.md, {out / name}.png")


def _say_needed(points: "list[Point]") -> None:
    from offline.backtest import mean_by_share, needed_share

    for policy in dict.fromkeys(point.policy for point in points):
        means = mean_by_share(points, policy)
        needed = needed_share(points, policy)
        said = (
            f"{needed:.0%} of the labels come within 2%" if needed else "nothing less than all labels comes within 2%"
        )
        typer.echo(f"{policy:26} MAE {means[max(means)].mae:.3f} with all labels; {said}")


def _interval(estimate: "Estimate | None") -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f}-{estimate.high:.2f})" if estimate else "-"


def _echo(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value, default=str).decode())
