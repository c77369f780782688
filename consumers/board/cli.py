"""`stillhouse board` and `stillhouse docs`."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    @app.command()
    def board(
        host: Annotated[str | None, typer.Option(help="Address to listen on; default: this machine alone.")] = None,
        port: Annotated[int | None, typer.Option(help="Port to listen on; 0 for any free one.")] = None,
    ) -> None:
        """Show what the stream does in a browser, and serve its feeds."""
        import asyncio
        import contextlib
        import signal

        from consumers.board.app import serve
        from consumers.logs import configure_logging
        from consumers.metrics import open_recorder
        from core.settings import load_settings

        given = {"board_host": host, "board_port": port}
        settings = load_settings(**{name: value for name, value in given.items() if value is not None})
        configure_logging(settings)

        async def run() -> None:
            task = asyncio.current_task()
            assert task is not None
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            with open_recorder(settings) as recorder, contextlib.suppress(asyncio.CancelledError):
                await serve(settings, recorder, lambda address: typer.echo(f"Board at {address}"))

        asyncio.run(run())

    @app.command()
    def docs(
        folder: Annotated[Path, typer.Option(help="Where to write.")] = Path("docs"),
        check: Annotated[bool, typer.Option(help="Write nothing; fail where a file is not up to date.")] = False,
    ) -> None:
        """Write the JSON Schemas of the topics and the AsyncAPI document."""
        from core.documents import outdated, write_documents

        if not check:
            typer.echo("\n".join(str(path) for path in write_documents(folder)))
        elif old := outdated(folder):
            typer.echo(f"Not up to date: {', '.join(map(str, old))}. Run `stillhouse docs`.", err=True)
            raise typer.Exit(1)
