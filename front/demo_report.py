"""What `stillhouse demo` prints: the best articles of each filter, the rejected, the dead, and the sum."""

from collections import Counter

import orjson
import typer
from rich.console import Console
from rich.text import Text

from core.settings import Settings
from core.topics import DEAD, ORACLE_REQUESTS, REJECTED, SCORED
from front.demo import Run
from front.tally import Tally
from models.oracle.load import why_not_ready
from models.results_view import Results, print_best, print_heading, print_line, print_rejected

BEST = 4
"""Articles shown per filter."""


def show(settings: Settings, run: Run, as_json: bool) -> None:
    """The counts as JSON for programs, the report for people."""
    if as_json:
        typer.echo(orjson.dumps(run.tally.counts()).decode())
    else:
        print_report(Console(), run, Results.of_active(settings), why_not_ready(settings))


def print_report(console: Console, run: Run, results: Results, oracle_lacks: str | None) -> None:
    """Args: oracle_lacks: why nobody answered the oracle's requests; None where an oracle did."""
    tally = run.tally
    for record in (*tally.scored, *tally.rejected):
        results.add(record)
    print_best(console, results, BEST)
    print_rejected(console, tally.rejected)
    _print_dead(console, tally)
    _print_sum(console, tally)
    _print_oracle(console, tally, oracle_lacks)
    _print_speed(console, run)


def _print_dead(console: Console, tally: Tally) -> None:
    if not tally.dead:
        return
    print_heading(console, "Dead letters", f"{len(tally.dead)} records, kept as they came")
    for letter in sorted(tally.dead, key=lambda letter: letter.reason):
        print_line(console, Text(f"{letter.reason:<13}", "red"), Text(letter.message, "dim"))


def _print_sum(console: Console, tally: Tally) -> None:
    faults = tally.faults()
    print_heading(console, "The counts differ" if faults else "Every article has one outcome", "")
    for topic, records in ((SCORED, tally.scored), (REJECTED, tally.rejected), (DEAD, tally.dead)):
        print_line(console, f"{len(records):>5} {topic}")
    print_line(console, Text(f"{tally.outcomes:>5} of {tally.published} published", "bold"))
    if tally.redelivered:
        print_line(console, Text(f"{tally.redelivered:>5} records came twice, byte for byte equal", "dim"))
    for fault in faults:
        console.print(fault, style="bold red")


def _print_oracle(console: Console, tally: Tally, lacks: str | None) -> None:
    reasons = Counter(f["oracle"] for record in tally.scored for f in record["filters"].values() if f["oracle"])
    why = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in sorted(reasons.items()))
    print_heading(console, f"{tally.requests} articles went to {ORACLE_REQUESTS}", why)
    if lacks:
        print_line(console, Text(lacks, "dim"))
        return
    print_line(console, f"{tally.labelled} came back from the oracle, {len(tally.unanswered)} without an answer")
    for reason, count in Counter(letter.reason for letter in tally.unanswered).most_common():
        print_line(console, Text(f"{reason:<13}", "red"), Text(f"{count:>3}"))


def _print_speed(console: Console, run: Run) -> None:
    pairs = [result["stage"] for record in run.tally.scored for result in record["filters"].values()]
    closed = pairs.count("probe") / len(pairs) if pairs else 0.0
    console.print()
    print_line(console, f"First outcome after {run.first_outcome_sec:.1f} s, all after {run.total_sec:.1f} s.")
    print_line(console, f"The gates closed {closed:.0%} of {len(pairs)} pairs of article and filter.")
