"""Scored articles on the terminal: the best of each filter, and what was rejected and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

TIER_STYLES = ("bold green", "cyan", "blue")
"""From a filter's highest tier down; articles in none of them are dim."""

Record = Mapping[str, Any]
"""A record in the form of articles.scored or articles.rejected."""


@dataclass
class Results:
    """Records as they come, and per filter its tiers from the highest down."""

    tiers: Mapping[str, Sequence[str]]
    scored: list[Record] = field(default_factory=list)
    rejected: list[Record] = field(default_factory=list)

    def add(self, record: Record) -> None:
        (self.scored if "filters" in record else self.rejected).append(record)

    def best(self, name: str, count: int) -> list[Record]:
        """The articles of one filter that score highest, ties by id."""
        return sorted(self.scored, key=lambda record: (-record["filters"][name]["weighted"], record["id"]))[:count]

    def style(self, name: str, tier: str) -> str:
        order = list(self.tiers.get(name, ()))
        return TIER_STYLES[min(order.index(tier), len(TIER_STYLES) - 1)] if tier in order else "dim"


def print_best(console: Console, results: Results, count: int) -> None:
    """Per filter its best articles, with tier, score, 90% interval and language."""
    for name in results.tiers:
        console.print()
        console.print(Group(_heading(results, name), *_rows(results, name, count)))


def print_rejected(console: Console, rejected: Sequence[Record], examples: int = 2) -> None:
    """Reasons with their counts, and a few titles of each."""
    if not rejected:
        return
    console.print()
    console.print(Text("Rejected", style="bold") + Text(f"  {len(rejected)} articles", style="dim"))
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="yellow", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for reason, count in Counter(record["reason"] for record in rejected).most_common():
        titles = [record["title"] for record in rejected if record["reason"] == reason][:examples]
        table.add_row(str(count), reason, Text(" · ".join(title or "(no title)" for title in titles), style="dim"))
    console.print(table)


def tier_counts(results: Results, name: str) -> str:
    """How many articles reached each tier, as `4 high, 9 medium`."""
    counts = Counter(record["filters"][name]["tier"] for record in results.scored)
    return ", ".join(f"{counts[tier]} {tier}" for tier in results.tiers[name] if counts[tier]) or "none above low"


def _heading(results: Results, name: str) -> Text:
    return Text(name, style="bold") + Text(f"  {tier_counts(results, name)}", style="dim")


def _rows(results: Results, name: str, count: int) -> Iterable[Table]:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 1))
    for column in ({"width": 6}, {"justify": "right", "width": 4}, {"width": 12}, {"width": 2}):
        table.add_column(no_wrap=True, **column)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for record in results.best(name, count):
        result = record["filters"][name]
        interval = result["interval"]
        table.add_row(
            Text(result["tier"], style=results.style(name, result["tier"])),
            f"{result['weighted']:.1f}",
            Text(f"[{interval[0]:.1f}, {interval[1]:.1f}]" if interval else "", style="dim"),
            Text(record["language"] or "", style="dim"),
            record["title"] or "(no title)",
        )
    return [table]
