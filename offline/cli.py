"""Commands of the offline folder: labels, training, evaluation, release, quality.

One module per group in offline/commands; heavy libraries are imported inside the commands.
"""

import typer


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
