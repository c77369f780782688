"""`stillhouse oracle score`: label a file of articles by one filter's rubric."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.article import Article
    from core.settings import Settings
    from models.oracle.labelling import Limits, Progress
    from models.oracle.rubric import Rubric

oracle = typer.Typer(help="Ask the oracle: label files, look at its budget.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    app.add_typer(oracle, name="oracle")


@oracle.command()
def score(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Articles as JSON lines; - reads stdin.")],
    filter_name: Annotated[str, typer.Option("--filter", metavar="NAME", help="Filter (drafts too), or NAME/vN.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many articles.")] = None,
    budget: Annotated[float | None, typer.Option(min=0, metavar="USD", help="Money for the whole file.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the output file of an earlier run.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labels; unset: FILE.NAME.labels.jsonl here.")
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Gemini's Batch API: half the price, up to a day.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Pay again for articles that failed.")] = False,
    poll_sec: Annotated[float, typer.Option(min=0.01, help="How often --batch looks for its answers.")] = 30.0,
    give_up_sec: Annotated[float, typer.Option(min=0, help="End after so long without any answer.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Label articles: progress, cost so far, forecast. Nothing is paid twice, however often it is killed."""
    from core.settings import load_settings
    from models.oracle.labelling import Limits
    from models.oracle.rubric import named_rubric

    settings = load_settings()
    rubric = named_rubric(settings.filters, filter_name)
    articles, refused = _read(file, limit)
    target = out or Path(f"{Path(file).stem if file != '-' else 'stdin'}.{rubric.name}.labels.jsonl")
    limits = Limits(budget, give_up_sec, retry_failed)
    poll = poll_sec if batch else None
    progress = asyncio.run(_label(settings, rubric, articles, _Target(target, resume), limits, poll))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(_summary(progress, refused, target)).decode())
    else:
        from models.oracle.labelling_view import print_summary

        print_summary(_summary(progress, refused, target))
    if progress.stopped:
        raise typer.Exit(3)


class _Target:
    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self.resume = resume


async def _label(
    settings: "Settings",
    rubric: "Rubric",
    articles: "list[Article]",
    target: _Target,
    limits: "Limits",
    poll_sec: float | None,
) -> "Progress":
    from models.oracle.label_file import open_labels
    from models.oracle.labelling import Labelling
    from models.oracle.labelling_view import progress_bar
    from models.oracle.load import load_asker

    asker = load_asker(settings, "score")
    try:
        with open_labels(target.path, rubric, resume=target.resume) as labels, progress_bar(len(articles)) as bar:
            labelling = Labelling(asker, rubric, labels, limits)
            if poll_sec is not None:
                from models.oracle.batch import BatchRun, run_name

                run = run_name(asker.provider.identity, articles, f"{rubric.name}/{rubric.spec.version}/{rubric.hash}")
                questions = [labelling.question(article) for article in articles]
                await BatchRun(asker, run, poll_sec).label(questions, limits.budget_usd, bar.say)
            return await labelling.run(articles, settings.oracle_concurrency, bar.update)
    finally:
        await asker.close()


def _read(file: str, limit: int | None) -> "tuple[list[Article], list[int]]":
    """Cleaned articles, one per id, and the numbers of the lines that hold none."""
    from core.article import Article
    from core.jsonl import open_input, read_lines
    from core.text import clean_article

    articles: dict[str, Article] = {}
    refused = []
    with open_input(file) as stream:
        for line in read_lines(stream):
            if isinstance(line.outcome, Article):
                articles.setdefault(line.outcome.id, clean_article(line.outcome))
            else:
                refused.append(line.number)
            if len(articles) == limit:
                break
    return list(articles.values()), refused


def _summary(progress: "Progress", refused: list[int], target: Path) -> dict[str, object]:
    return {
        "articles": progress.total,
        "labelled": progress.labelled,
        "failed": dict(progress.failed.most_common()),
        "not_asked": progress.total - progress.done,
        "refused_lines": refused,
        "cost_usd": round(progress.cost_usd, 6),
        "paid_now_usd": round(progress.paid_usd, 6),
        "stopped": progress.stopped,
        "out": str(target),
    }
