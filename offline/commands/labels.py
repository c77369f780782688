"""`stillhouse labels import|export|stats|check|screen`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from offline.label_store import LabelStore

labels = typer.Typer(help="The label store: what the oracle said about which article.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Filter = Annotated[str | None, typer.Option("--filter", help="Only labels of this filter.")]
Articles = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Articles; else x_articles.jsonl beside x_labels.jsonl."),
]


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    app.add_typer(labels, name="labels")


@labels.command("import")
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON lines, one label each.")],
    articles: Articles = None,
    as_json: Json = False,
) -> None:
    """Add a labelled file to the store. Importing it twice changes nothing."""
    from offline.transfer import companion, import_labels

    store = _store()
    result = import_labels(store, file, articles or companion(file))
    if as_json:
        _echo({"snapshot": str(store.snapshot())} | {n: getattr(result, n) for n in result.__dataclass_fields__})
        return
    typer.echo(f"{result.labels} labels and {result.articles} articles added; {result.known} labels were known.")
    if result.orphans:
        typer.echo(f"{result.orphans} labelled ids have no article: import them with --articles FILE.", err=True)
    typer.echo(f"The store is now at snapshot {store.snapshot()}.")


@labels.command()
def export(
    out: Annotated[Path, typer.Option(help="File to write the labels to.")],
    articles_out: Annotated[Path | None, typer.Option(help="File to write their articles to.")] = None,
    filter_name: Filter = None,
    snapshot: Annotated[str | None, typer.Option(help="A past state, for example a7.l12.")] = None,
) -> None:
    """Write labels as JSON lines."""
    from offline.label_store import Snapshot
    from offline.transfer import export_labels

    at = Snapshot.parse(snapshot) if snapshot else None
    count, texts = export_labels(_store(), out, articles_out, filter_name, at)
    typer.echo(f"{count} labels written to {out}" + (f", {texts} articles to {articles_out}." if articles_out else "."))


@labels.command()
def stats(as_json: Json = False) -> None:
    """Labels, articles and cost by filter, and the snapshot that names the present state."""
    from rich.console import Console
    from rich.table import Table

    from offline.transfer import statistics

    result = statistics(_store())
    if as_json:
        _echo(result)
        return
    table = Table("filter", "labels", "articles", "oracles", "cost USD", "latest")
    for row in result["filters"]:
        numbers = [str(row["labels"]), str(row["articles"]), str(len(row["oracles"])), f"{row['cost_usd']:.3f}"]
        table.add_row(f"{row['filter']} {row['version']}", *numbers, (row["latest"] or "-")[:16])
    Console().print(table)
    total = f"{result['labels']} labels of {result['articles']} articles, {result['cost_usd']:.2f} USD"
    typer.echo(f"{total}. Snapshot {result['snapshot']} in {result['url']}.")


@labels.command()
def check(
    name: Annotated[str, typer.Argument(help="Filter whose labels are checked.")],
    labels_file: Annotated[Path | None, typer.Option("--labels", exists=True, help="A file; else the store.")] = None,
    articles: Articles = None,
    held_out: Annotated[
        Path | None, typer.Option(exists=True, help="Articles kept for judging: none may leak.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find what ruins training. Exits with 1 where an error is found; warnings alone pass."""
    from core.settings import load_settings
    from offline.dataset import read_articles
    from offline.labels_check import check_labels
    from offline.transfer import read_labelled
    from offline.versions import current_spec

    spec = current_spec(load_settings().filters, name)
    own, texts = read_labelled(_store(), labels_file, articles)
    findings = check_labels(spec, own, texts, read_articles([held_out]) if held_out else None)
    if as_json:
        _echo([{"severity": f.severity, "code": f.code, "detail": f.detail} for f in findings])
    else:
        for finding in findings:
            colour = typer.colors.RED if finding.severity == "error" else typer.colors.YELLOW
            typer.secho(f"{finding.severity:8}{finding.code}: {finding.detail}", fg=colour)
        errors = sum(finding.severity == "error" for finding in findings)
        typer.echo(f"{name}: {errors} error(s), {len(findings) - errors} warning(s).")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


@labels.command()
def screen(
    name: Annotated[str, typer.Argument(help="Filter that needs more positives.")],
    articles: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Unlabelled articles, JSON lines.")],
    top: Annotated[int, typer.Option(min=1, help="How many to choose.")] = 100,
    out: Annotated[Path | None, typer.Option(help="Write the chosen articles here, ready to label.")] = None,
    as_json: Json = False,
) -> None:
    """Choose the articles worth labelling next: like known positives, likely by the probe, diverse, no near copies."""
    import orjson

    from core.settings import load_settings
    from offline.against_training import screen_file

    chosen = screen_file(load_settings(), name, articles, top)
    if out:
        out.write_bytes(b"".join(orjson.dumps(article.to_dict()) + b"\n" for _, article in chosen))
    if as_json:
        _echo([{"id": a.id, "title": a.title, "score": p.score, "similarity": p.similarity, "probe": p.probe}
               for p, a in chosen])  # fmt: skip
        return
    for pick, article in chosen[:50]:
        typer.echo(f"{pick.score:6.3f}  {article.id}  {article.title[:90]}")
    typer.echo(f"{len(chosen)} articles chosen" + (f", written to {out}." if out else "; --out FILE keeps them all."))


def _store() -> "LabelStore":
    from core.settings import load_settings
    from offline.label_store import LabelStore

    return LabelStore(load_settings().label_store)


def _echo(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value).decode())
