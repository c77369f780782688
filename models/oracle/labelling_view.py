"""How `stillhouse oracle score` looks in the terminal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from models.oracle.labelling import Progress as LabellingProgress


class Bar:
    """Progress on stderr: stdout belongs to the summary."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def update(self, progress: LabellingProgress) -> None:
        money = f"{progress.cost_usd:.4f} USD, {progress.forecast_usd:.2f} for all"
        failed = f", {progress.failed.total()} failed" if progress.failed else ""
        self._bar.update(self._task, completed=progress.done, description=f"{money}{failed}")

    def say(self, text: str) -> None:
        self._bar.update(self._task, description=text)


@contextmanager
def progress_bar(total: int) -> Iterator[Bar]:
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield Bar(bar, bar.add_task("", total=total))


def print_summary(summary: Mapping[str, Any]) -> None:
    """Counts, failures by kind, money, and what to do next."""
    console = Console()
    table = Table(show_header=False, box=None)
    table.add_row("labelled", f"{summary['labelled']} of {summary['articles']}")
    for reason, count in summary["failed"].items():
        table.add_row(f"failed: {reason}", str(count))
    if summary["refused_lines"]:
        lines = ", ".join(map(str, summary["refused_lines"][:10]))
        table.add_row("lines without an article", f"{len(summary['refused_lines'])} (line {lines})")
    table.add_row("cost", f"{summary['cost_usd']:.4f} USD, of which {summary['paid_now_usd']:.4f} in this run")
    table.add_row("labels", summary["out"])
    console.print(table)
    if summary["stopped"]:
        console.print(f"[yellow]Stopped:[/] {summary['stopped']}. Continue with --resume.")
    elif summary["failed"]:
        console.print("Failed articles were paid or may have been; --resume --retry-failed asks them again.")
