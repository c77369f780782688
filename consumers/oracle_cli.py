"""`stillhouse oracle budget`: spent, forecast and queue of the oracle stage."""

import asyncio
import logging
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.settings import Settings

oracle = typer.Typer(help="Ask the oracle: label files, look at its budget.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door, which merges groups of one name."""
    app.add_typer(oracle, name="oracle")


@oracle.command()
def budget(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """What the stream's oracle spent today (UTC), what it will have spent by midnight, and what waits."""
    from core.settings import load_settings

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    report = asyncio.run(_report(load_settings()))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(report).decode())
    else:
        _print(report)


async def _report(settings: "Settings") -> dict[str, Any]:
    from consumers.spending import Spending, budget_of, count_ledger, rebuild_spending
    from consumers.status import read_lag
    from core.budget import DAY_SEC, BudgetController
    from core.errors import TransientError
    from models.oracle.ledger import Ledger
    from models.oracle.load import ledger_path, why_not_ready

    now = time.time()
    ledger = Ledger(ledger_path(settings))
    queue: int | None = None
    try:
        spending = await rebuild_spending(settings, ledger, now)
        queue = await read_lag(settings, "oracle")
    except TransientError:
        spending = Spending(BudgetController(budget_of(settings)))
        count_ledger(spending, ledger, now - DAY_SEC, now)
    by_hand = sum(spend.cost_usd for spend in ledger.spending("score", now - now % DAY_SEC))
    ledger.close()
    state = spending.controller.state(now)
    return {
        "usd": asdict(state.usd),
        "calls": asdict(state.calls),
        "shares": {name: asdict(lane) for name, lane in state.filters.items()},
        "filters": {name: asdict(tally) for name, tally in sorted(spending.filters.items())},
        "unlabelled_usd": spending.failed_usd,
        "oracle_score_usd": by_hand,
        "queue": queue,
        "not_ready": why_not_ready(settings),
    }


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("today (UTC)", box=None)
    for name in ("spent", "limit", "forecast"):
        table.add_column(name, justify="right")
    rows = {"USD": report["usd"], "calls": report["calls"]}
    rows |= {f"USD, {name}": lane for name, lane in report["shares"].items()}
    for name, lane in rows.items():
        digits = 0 if name == "calls" else 4
        table.add_row(name, *(f"{lane[key]:,.{digits}f}" for key in ("spent", "limit", "forecast")))
    console.print(table)
    if report["filters"]:
        filters = Table("filter", box=None)
        for name in ("labels", "declined", "USD"):
            filters.add_column(name, justify="right")
        for name, tally in report["filters"].items():
            filters.add_row(name, f"{tally['labels']:,}", f"{tally['declined']:,}", f"{tally['usd']:.4f}")
        console.print(filters)
    queue = "no broker answers" if report["queue"] is None else f"{report['queue']:,} requests"
    console.print(f"Queue: {queue}. Paid without a published label: {report['unlabelled_usd']:.4f} USD.")
    if report["oracle_score_usd"]:
        console.print(
            f"`stillhouse oracle score` spent {report['oracle_score_usd']:.4f} USD more, outside this budget."
        )
    if report["not_ready"]:
        console.print(f"[yellow]{report['not_ready']}[/]")
