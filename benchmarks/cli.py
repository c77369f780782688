"""`stillhouse bench`: every ratio is taken within one run, as a median over repeats where a round is short."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Articles = Annotated[
    Path | None, typer.Option(metavar="FILE", help="JSON lines; default: ../shared/data's feed, else the samples.")
]

bench = typer.Typer(help="Measure engines, stream and overhead on this machine.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    app.add_typer(bench, name="bench")


@bench.command()
def engine(
    as_json: Json = False,
    articles: Articles = None,
    count: Annotated[int, typer.Option(min=8, help="Articles for the engines.")] = 96,
    typical: Annotated[int, typer.Option(min=4, help="Articles for the typical path, which is slow.")] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; medians are reported.")] = 3,
) -> None:
    """Articles per second of every engine against the typical path, with parity and the share of peak FLOP/s."""
    from benchmarks.articles import load_articles
    from benchmarks.engine import EnginePlan, measure_engines
    from benchmarks.report import print_report
    from core.settings import load_settings

    plan = EnginePlan(load_articles(articles, count), typical, repeats)
    _print(measure_engines(load_settings(), plan), print_report, as_json)


@bench.command()
def stream(
    as_json: Json = False,
    articles: Articles = None,
    count: Annotated[int, typer.Option(min=8, help="Articles.")] = 400,
    check_gates: Annotated[bool, typer.Option("--check-gates", help="What the gates cost in recall.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; medians are reported.")] = 3,
    compare: Annotated[
        Literal["metrics", "tracing"] | None, typer.Option(help="Instead: what these cost, with and without in turn.")
    ] = None,
) -> None:
    """Throughput of the stream on the embedded broker against the same cascade without Kafka."""
    from benchmarks.articles import load_articles
    from benchmarks.report import print_stream
    from benchmarks.stream import StreamPlan, measure_stream
    from core.settings import load_settings

    plan = StreamPlan(load_articles(articles, count), repeats, check_gates)
    if compare:
        from benchmarks.observing import measure_cost
        from benchmarks.report import print_cost

        _print(measure_cost(load_settings(), plan, compare), print_cost, as_json)
        return
    _print(measure_stream(load_settings(), plan), print_stream, as_json)


@bench.command()
def batch(
    as_json: Json = False,
    articles: Articles = None,
    count: Annotated[int, typer.Option(min=8, help="Articles.")] = 3_600,
    typical: Annotated[int, typer.Option(min=2, help="Articles for the typical path, which is slow.")] = 32,
    check_gates: Annotated[bool, typer.Option(help="Score all without gates, too: what the gates cost.")] = True,
) -> None:
    """A whole batch through the stream: time, ratio to the typical path, share of closed filters and their cost."""
    from benchmarks.articles import load_articles
    from benchmarks.batch import BatchPlan, measure_batch
    from benchmarks.report import print_batch
    from core.settings import load_settings

    plan = BatchPlan(load_articles(articles, count), typical, check_gates)
    _print(measure_batch(load_settings(), plan), print_batch, as_json)


@bench.command()
def overhead(
    as_json: Json = False,
    count: Annotated[int, typer.Option(min=64, help="Articles of 2 KB.")] = 2_000,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; medians are reported.")] = 5,
    kafka: Annotated[bool, typer.Option(help="Measure what Kafka's client adds, too.")] = True,
) -> None:
    """CPU per article of the stages, with the models replaced by no-ops."""
    from benchmarks.overhead import measure_overhead
    from benchmarks.report import print_overhead
    from core.settings import load_settings

    _print(measure_overhead(load_settings(), count, repeats, kafka), print_overhead, as_json)


@bench.command()
def quality(
    as_json: Json = False,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Labelled articles; default: ../shared/data.")
    ] = None,
    count: Annotated[int, typer.Option(min=20, help="Held-out articles.")] = 1_000,
) -> None:
    """Rank correlation of every filter with held-out labels, against fp32 torch; exit 1 if they are .01 apart."""
    from benchmarks.quality import measure_quality
    from benchmarks.report import print_quality
    from core.settings import load_settings

    result = measure_quality(load_settings(), data, count)
    _print(result, print_quality, as_json)
    if not result["within"]:
        raise typer.Exit(1)


def _print(result: dict[str, Any], show: Any, as_json: bool) -> None:
    import orjson

    if as_json:
        typer.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
    else:
        show(result)
