"""Filters on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_filters(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per filter version, cut to the terminal's width."""
    width = max((len(row["name"]) for row in rows), default=0)
    console = Console()
    for row in rows:
        active = "[green]active[/]" if row["active"] else "      "
        line = f"[bold]{row['name']:<{width}}[/] {row['version']:<4} {active} {row['status']:<11} [dim]"
        console.print(Text.from_markup(line) + Text(row["description"]), no_wrap=True, overflow="ellipsis")


def print_filter(details: Mapping[str, Any]) -> None:
    """Args: details: the filter's config, with `metrics` and `gate_measured` where it is trained."""
    console = Console()
    console.print(f"[bold]{details['name']}[/] {details['version']}, {details['status']}: {details['description']}")
    console.print(f"[dim]{details['folder']}")
    dimensions = Table("dimension", "weight", "meaning", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for dimension in details["dimensions"]:
        dimensions.add_row(dimension["name"], f"{dimension['weight']:.2f}", Text(dimension["meaning"]))
    console.print(dimensions)
    tiers = ", ".join(f"{tier['name']} from {tier['at_least']:g}" for tier in details["tiers"])
    console.print(f"[bold]tiers[/]       {tiers}")
    for gatekeeper in details["gatekeepers"]:
        rule = f"{gatekeeper['dimension']} below {gatekeeper['below']:g} caps the score at {gatekeeper['cap']:g}"
        console.print(f"[bold]gatekeeper[/]  {rule}")
    if "thresholds" in details:
        console.print(f"[bold]thresholds[/]  {_thresholds(details['thresholds'])}")
    else:
        console.print(f"[bold]gate[/]        {_gate(details)}")
    metrics = details.get("metrics", {})
    if measured := metrics.get("test") or metrics.get("held_out"):
        figures = {name.replace("_", " "): value for name, value in measured.items() if isinstance(value, int | float)}
        console.print(f"[bold]held out[/]    {', '.join(f'{name} {value:.3g}' for name, value in figures.items())}")


def _thresholds(thresholds: Mapping[str, Any]) -> str:
    alone = f"rejected from {thresholds['rejected_at']:g} on"
    if thresholds["doubted_at"] is None:
        return alone
    return (
        f"{alone}; read from {thresholds['doubted_at']:g} on, and rejected if that gives {thresholds['confirmed_at']:g}"
    )


def _gate(details: Mapping[str, Any]) -> str:
    measured = details.get("gate_measured")
    target = f"may miss {details['gate']['max_miss_rate']:.0%} of articles from {details['gate']['relevant_at']:g}"
    if measured is None:
        return f"{target}; not trained yet"
    if measured["threshold"] is None:
        return f"stays open: {measured['note'] or 'no threshold could be certified'}"
    bound = measured["miss_rate_upper95"]
    proven = f", at most {bound:.1%} with 95% confidence" if bound is not None else ""
    misses = f"{measured['misses']} of {measured['positives']} missed on held-out articles{proven}"
    return f"{target}; {misses}; closes {measured['closed_share']:.0%} of all articles"
