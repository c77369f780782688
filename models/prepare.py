"""Base weights made ready before anything else starts, with a progress bar where there is work to do."""

import contextlib
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from core.settings import Settings
from models.weights.cache import Stage, WeightsFolder
from models.weights.sources import base_model, encoder_model

Fetch = Callable[[Settings, Stage], WeightsFolder]


def prepare_weights(settings: Settings) -> list[WeightsFolder]:
    """Scorer and encoder weights in STILLHOUSE_HOME, converted or fetched once per machine."""
    return [_prepare(settings, fetch) for fetch in (base_model, encoder_model)]


def _prepare(settings: Settings, fetch: Fetch) -> WeightsFolder:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("weights", total=1.0)
    with contextlib.ExitStack() as stack:

        def report(what: str, share: float) -> None:
            if not bar.live.is_started:  # weights that are there already leave no trace on the terminal
                stack.enter_context(bar)
            bar.update(task, description=what, completed=share)

        return fetch(settings, report)
