"""Commands of the models: `score` without Kafka, `filters`, and the oracle's."""

import importlib
import importlib.util

import typer


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    from models.filters_cli import filters

    app.add_typer(filters, name="filters")
    if importlib.util.find_spec("models.oracle") and importlib.util.find_spec("models.oracle.cli"):
        importlib.import_module("models.oracle.cli").register(app)
