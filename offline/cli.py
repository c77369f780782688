"""Commands of the offline folder: labels, training, evaluation, release, quality.

One module per group in offline/commands; heavy libraries are imported inside the commands.
"""

import importlib
import importlib.util

import typer

GROUPS = ("labels", "train", "release", "quality", "filters", "hub")


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    for group in GROUPS:
        if importlib.util.find_spec(f"offline.commands.{group}"):
            importlib.import_module(f"offline.commands.{group}").register(app)
