"""Tables of the feeds commands."""

import time

from rich.console import Console
from rich.table import Table

from producers.feeds.check import FeedCheck
from producers.feeds.schedule import SLOW_AFTER_FAILURES
from producers.feeds.state_file import FeedState


def print_check(found: FeedCheck) -> None:
    """A feed, and its first entries with what would become of each."""
    console = _console()
    console.print(f"{found.title or found.url} ({found.format}, {found.entries} entries)", style="bold")
    if found.notes or found.dropped:
        empty = [f"{found.dropped} entries without title and text"] if found.dropped else []
        console.print(f"Mended: {', '.join([*found.notes, *empty])}")
    table = _table("outcome", "id", "lang", "chars", "page", "title", "tags", wide="title")
    for entry in found.checked:
        article = entry.article
        table.add_row(
            entry.outcome,
            article.id,
            article.language or "?",
            str(len(article.text)),
            entry.page,
            article.title,
            ", ".join(article.tags),
        )
    console.print(table)
    if found.entries > len(found.checked):
        console.print(f"and {found.entries - len(found.checked)} more; --limit shows them.")


def print_status(states: list[FeedState]) -> None:
    """One line per feed, failing ones first."""
    table = _table("feed", "outcome", "failures", "next poll", "published", "detail", wide="detail")
    for state in sorted(states, key=lambda state: -state.failures):
        style = "red" if state.failures >= SLOW_AFTER_FAILURES or state.outcome == "gone" else None
        table.add_row(
            state.title or state.url,
            state.outcome,
            str(state.failures),
            _when(state),
            str(state.published),
            state.detail,
            style=style,
        )
    _console().print(table)


def _table(*columns: str, wide: str) -> Table:
    """One line per row; `wide` takes the space that the others leave, and is cut there."""
    table = Table(box=None, header_style="dim", expand=True)
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if name == wide else None)
    return table


def _console() -> Console:
    """Feeds are written by strangers: their [brackets] are text here."""
    return Console(markup=False, highlight=False)


def _when(state: FeedState) -> str:
    if state.outcome == "gone":
        return "never"
    wait_min = (state.next_poll - time.time()) / 60
    return "now" if wait_min <= 0 else f"in {wait_min:.0f} min"
