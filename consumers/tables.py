"""The stream's reports as tables for people."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from consumers.status import StageStatus, Status
from consumers.topics import Change

SHOWN_BODY_CHARS = 4_000


def print_status(status: Status) -> None:
    table = Table("stage", "topic", box=None)
    for name in ("consumers", "lag", "handled/s", "arriving/s", "caught up in"):
        table.add_column(name, justify="right")
    for stage in status.stages:
        rates = (f"{stage.handled_per_sec:g}", f"{stage.arriving_per_sec:g}", _caught_up(stage))
        table.add_row(stage.stage, stage.topic, str(stage.consumers), f"{stage.lag:,}", *rates)
    console = Console()
    if status.stages:
        console.print(table)
        counts = ", ".join(f"{count:,} on {topic}" for topic, count in status.records.items())
        console.print(f"Records: {counts}", style="dim", soft_wrap=True)
    if status.missing_topics:
        console.print(f"Missing topics: {', '.join(status.missing_topics)}", soft_wrap=True)
        console.print("Run `stillhouse topics apply`.")


def print_changes(changes: Sequence[Change], *, applied: bool) -> None:
    console = Console()
    if not changes:
        console.print("All topics are as the table says.")
        return
    table = Table("topic", "action", "detail", box=None)
    for change in changes:
        table.add_row(change.topic, change.action, Text(change.detail))
    console.print(table)
    console.print("Done." if applied else "`stillhouse topics apply` makes it so; `keep` is left to you.", style="dim")


def print_dead(entries: Sequence[Mapping[str, Any]]) -> None:
    console = Console()
    if not entries:
        console.print("No dead letters.")
        return
    table = Table("place", "stage", "reason", "message", box=None)
    for entry in entries:
        style = "dim" if entry["replayed"] else ""
        message = Text(entry["message"], no_wrap=True, overflow="ellipsis")
        table.add_row(entry["place"], entry["stage"], entry["reason"], message, style=style)
    console.print(table)
    replayed = sum(entry["replayed"] for entry in entries)
    console.print(f"{len(entries)} dead letters, {replayed} of them replayed (dim).", style="dim")


def print_letter(details: Mapping[str, Any]) -> None:
    console = Console()
    table = Table(box=None, show_header=False)
    for name, value in details.items():
        if name not in ("headers", "body", "timestamp_ms"):
            table.add_row(name, Text(str(value)))
    table.add_row("time", datetime.fromtimestamp(details["timestamp_ms"] / 1000, UTC).isoformat(timespec="seconds"))
    for name, value in details["headers"].items():
        table.add_row(Text(f"header {name}"), Text(value))
    console.print(table)
    console.print(Text(details["body"][:SHOWN_BODY_CHARS]))
    if len(details["body"]) > SHOWN_BODY_CHARS:
        console.print(f"... {len(details['body']):,} characters; --json prints all.", style="dim")


def _caught_up(stage: StageStatus) -> str:
    seconds = stage.drain_sec
    if seconds is None:
        return "not shrinking" if stage.consumers else "no worker"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
