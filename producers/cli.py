"""Commands that bring articles in: `publish`, and those of producers/feeds."""

import asyncio
import logging
from typing import Annotated, BinaryIO

import typer

from producers.feeds import cli as feeds

SHOWN_REFUSALS = 20


def register(app: typer.Typer, feed_recorder: feeds.RecorderFactory) -> None:
    """Mount the commands on the front door, which brings the metrics of the feeds."""
    app.command()(publish)
    feeds.register(app, feed_recorder)


def publish(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="JSON lines, one article each; - reads stdin.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Publish articles to articles.raw. Lines that are no article are refused and counted, with their numbers."""
    import orjson

    from core.jsonl import open_input, read_lines
    from core.settings import load_settings
    from producers.publish import PublishReport, publish_lines, raw_producer
    from producers.terminal import publish_progress

    settings = load_settings()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its complaints about a missing broker repeat ours

    async def run(stream: BinaryIO) -> PublishReport:
        async with raw_producer(settings, notify=lambda text: typer.echo(text, err=True)) as producer:
            with publish_progress(settings.bootstrap) as progress:
                return await publish_lines(read_lines(stream), producer, progress=progress)

    with open_input(file) as stream:
        report = asyncio.run(run(stream))
    if as_json:
        refused = [{"line": r.line, "reason": r.reason, "detail": r.detail} for r in report.refused]
        typer.echo(orjson.dumps({"published": report.published, "refused": refused}).decode())
        return
    typer.echo(f"{report.published} articles published, {len(report.refused)} lines refused.")
    for refusal in report.refused[:SHOWN_REFUSALS]:
        typer.echo(f"  line {refusal.line}: {refusal.reason}: {refusal.detail}", err=True)
    if len(report.refused) > SHOWN_REFUSALS:
        typer.echo(f"  and {len(report.refused) - SHOWN_REFUSALS} more; --json lists all.", err=True)
