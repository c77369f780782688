"""Progress of publishing, on the terminal's stderr so that stdout stays a clean report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def publish_progress(target: str) -> Iterator[Callable[[int, int], None]]:
    """Shows counts while publishing; silent where stderr is not a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"publishing to {target}", total=None)

        def update(published: int, refused: int) -> None:
            bar.update(task, description=f"{published} published, {refused} refused")

        yield update
