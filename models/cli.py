"""Commands of the models: `score` without Kafka, `weights`, `filters`, and the oracle's."""

import typer

from models.filters_cli import filters
from models.oracle import cli as oracle
from models.score_cli import score


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    app.command()(score)
    app.command()(weights)
    app.add_typer(filters, name="filters")
    oracle.register(app)


def weights() -> None:
    """Make the base weights ready in STILLHOUSE_HOME; `score`, `run` and `demo` do so when they need them."""
    from core.settings import load_settings
    from models.prepare import prepare_weights

    for folder in prepare_weights(load_settings()):
        typer.echo(f"{folder.model_id} in {folder.path}, sha256 {folder.revision[:12]}")
