"""Scored articles on the terminal: the best of each filter, and what was rejected and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.text import Text

from core.releases import find_package, load_activation
from core.settings import Settings
from core.spec import load_spec

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

    @classmethod
    def of_active(cls, settings: Settings) -> "Results":
        """Empty results for the filters that releases.json names."""
        active = load_activation(settings.filters).filters
        specs = [load_spec(find_package(settings.filters, n, v) / "config.yaml") for n, v in active.items()]
        return cls({spec.name: [tier.name for tier in spec.tiers] for spec in specs})

    def add(self, record: Record) -> None:
        (self.scored if "filters" in record else self.rejected).append(record)

    def best(self, name: str, count: int) -> list[Record]:
        """The articles of one filter that score highest, ties by id."""
        with_filter = [record for record in self.scored if name in record["filters"]]
        return sorted(with_filter, key=lambda record: (-record["filters"][name]["weighted"], record["id"]))[:count]

    def style(self, name: str, tier: str) -> str:
        order = list(self.tiers.get(name, ()))
        return TIER_STYLES[min(order.index(tier), len(TIER_STYLES) - 1)] if tier in order else "dim"


def print_best(console: Console, results: Results, count: int) -> None:
    """Per filter its best articles: tier, score, 90% interval, language and title."""
    for name in results.tiers:
        print_heading(console, name, tier_counts(results, name))
        for record in results.best(name, count):
            result = record["filters"][name]
            interval = result["interval"]
            print_line(
                console,
                Text(f"{result['tier']:<11}", results.style(name, result["tier"])),
                Text(f"{result['weighted']:>4.1f}  "),
                Text(f"{f'{interval[0]:.1f} to {interval[1]:.1f}' if interval else '':<12}", "dim"),
                Text(f"{record['language'] or '':<3}", "dim"),
                record["title"] or "(no title)",
            )


def print_rejected(console: Console, rejected: Sequence[Record], examples: int = 2) -> None:
    """Reasons with their counts, and a few titles of each."""
    if not rejected:
        return
    print_heading(console, "Rejected", f"{len(rejected)} articles")
    for reason, count in Counter(record["reason"] for record in rejected).most_common():
        titles = [record["title"] or "(no title)" for record in rejected if record["reason"] == reason]
        shown = Text(" · ".join(titles[:examples]), "dim")
        print_line(console, Text(f"{reason:<13}", "yellow"), Text(f"{count:>3}  "), shown)


def print_heading(console: Console, heading: str, note: str) -> None:
    console.print()
    console.print(Text.assemble((heading, "bold"), "  ", (note, "dim")))


def print_line(console: Console, *parts: Text | str) -> None:
    """One line, cut to the terminal's width. Titles come from strangers: they are never read as markup."""
    console.print(Text.assemble("  ", *parts), no_wrap=True, overflow="ellipsis")


def tier_counts(results: Results, name: str) -> str:
    """How many articles reached each tier, as `4 high, 9 medium`."""
    counts = Counter(record["filters"][name]["tier"] for record in results.scored if name in record["filters"])
    return ", ".join(f"{counts[tier]} {tier}" for tier in results.tiers[name] if counts[tier]) or "none above low"
