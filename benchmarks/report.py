"""Benchmark results as tables on a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table


def print_report(result: dict[str, Any]) -> None:
    """`bench engine`."""
    console = Console()
    console.print(f"{result['processor']}; {result['articles']} articles")
    typical = ", ".join(f"{count}: {rate}/s" for count, rate in result["typical_articles_per_sec"].items())
    console.print(f"typical path, by number of filters ({result['typical_articles']} articles): {typical}")
    table = Table("engine", "filters", "articles/s", "CPU ms/article", "times typical", "mean diff", "max", "tiers")
    for row in result["engines"]:
        parity = result["parity"]["engines"].get(row["engine"], {})
        cells = (row["filters"], row["articles_per_sec"], row["cpu_ms_per_article"], row["times_typical"])
        differences = (parity.get(key, "reference") for key in ("mean", "max", "tiers_changed"))
        table.add_row(row["engine"], *map(str, cells), *map(str, differences))
    console.print(table)
    peak = result["peak"]
    console.print(
        f"at 400-500 tokens: {peak['achieved_gflops']} GFLOP/s in {peak['number_type']}, "
        f"{peak['share_of_peak']:.0%} of a large matrix product ({peak['share_of_peak_by_cpu_time']:.0%} by CPU time)"
    )


def print_stream(result: dict[str, Any]) -> None:
    """`bench stream`."""
    console = Console()
    console.print(f"{result['articles']} articles, {result['scored']} scored")
    console.print(f"cascade alone: {result['cascade_articles_per_sec']} articles/s")
    share = result["stream_share_of_cascade"]
    console.print(f"stream:        {result['stream_articles_per_sec']} articles/s, {share:.1%} of the cascade alone")
    console.print(f"peak memory of the process: {result['peak_memory_mb']} MB")
    _print_gates(console, result["gates"])


def print_cost(result: dict[str, Any]) -> None:
    """`bench stream --compare`."""
    added, console = result["added_us_per_article"], Console()
    console.print(
        f"{result['compared']}: {added['median']} us of CPU per article ({added['low']} to {added['high']} "
        f"in {result['rounds']} pairs of rounds over {result['articles']} articles without models)"
    )
    console.print(
        f"{result['cost']:.2%} of the stream's {result['stream_us_per_article'] / 1000:.1f} ms per article; "
        f"{result['cost_at_most']:.2%} at most"
    )


def print_batch(result: dict[str, Any]) -> None:
    """`bench batch`."""
    console = Console()
    console.print(f"{result['processor']}; {result['articles']} articles, {result['filters']} filters")
    console.print(f"through the stream: {result['seconds']} s, {result['articles_per_sec']} articles/s")
    parts = ", ".join(f"{name} {ms} ms" for name, ms in result["ms_per_article"].items())
    console.print(f"of an article, both alone: {parts}")
    for typical in result["typical"]:
        console.print(
            f"typical path at {typical['tokens']} tokens, {result['typical_articles']} articles: "
            f"{typical['articles_per_sec']} articles/s; the stream is {typical['times']} times it, "
            f"{typical['times_by_cpu_time']} times by CPU time"
        )
    _print_gates(console, result["gates"])


def _print_gates(console: Console, gates: dict[str, Any]) -> None:
    console.print(f"gates closed {gates['closed_share']:.1%} of all (article, filter) pairs")
    for name, recall in gates.get("recall_against_no_gate", {}).items():
        relevant = gates["relevant_without_gates"][name]
        console.print(f"  {name}: {recall:.1%} of {relevant} relevant articles were scored")


def print_quality(result: dict[str, Any]) -> None:
    """`bench quality`."""
    table = Table("filter", "articles", result["engine"], "fp32 torch", "apart")
    for row in result["filters"]:
        table.add_row(row["filter"], str(row["articles"]), *(f"{row[key]:.4f}" for key in ("served", "fp32", "apart")))
    console = Console()
    console.print("rank correlation (Spearman) of the weighted score with the labels of held-out articles")
    console.print(table)
    console.print(f"{'all within' if result['within'] else 'not all within'} {result['bound']}")


def print_overhead(result: dict[str, Any]) -> None:
    """`bench overhead`."""
    console = Console()
    console.print(
        f"{result['articles']} articles of {result['article_bytes']} bytes, {result['filters']} filters, all open"
    )
    for name, micros in result["cpu_us_per_article"].items():
        console.print(f"{name:>18}: {micros} us of CPU per article")
    console.print(f"{'screen and score':>18}: {result['screen_and_score']} us")
    if "kafka_and_disk" in result:
        console.print(f"{'kafka and disk':>18}: {result['kafka_and_disk']} us more on the embedded broker")
