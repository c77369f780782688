"""Base weights made ready before anything else starts, with a progress bar where there is work to do."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from core.settings import Settings
from models.weights.cache import Stage, WeightsFolder
from models.weights.sources import base_model, encoder_model

Fetch = Callable[[Settings, Stage], WeightsFolder]


def prepare_weights(settings: Settings) -> list[WeightsFolder]:
    """Scorer and encoder weights in STILLHOUSE_HOME, converted or fetched once per machine."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        return [_prepare(settings, fetch, bar) for fetch in (base_model, encoder_model)]


def _prepare(settings: Settings, fetch: Fetch, bar: Progress) -> WeightsFolder:
    task = bar.add_task("weights", total=1.0, visible=False)

    def report(what: str, share: float) -> None:
        bar.update(task, description=what, completed=share, visible=True)

    return fetch(settings, report)
