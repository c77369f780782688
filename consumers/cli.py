"""Commands that look into the stream: `tail`, `status`, `topics`, `dead` and `board`."""

import asyncio
import logging
from typing import Annotated, Any

import typer

from consumers import oracle_cli
from consumers.board import cli as board

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str | None, typer.Option(metavar="CODE", help="Only dead letters with this reason.")]

topics_app = typer.Typer(help="Compare the cluster's topics with the project's table, and make them so.")
dead_app = typer.Typer(help="Records that could not be handled: look at them, and send them round again.")


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    app.command()(tail)
    app.command()(status)
    app.add_typer(topics_app, name="topics")
    app.add_typer(dead_app, name="dead")
    board.register(app)
    oracle_cli.register(app)


def tail(
    filter_name: Annotated[str | None, typer.Option("--filter", metavar="NAME", help="Only this filter.")] = None,
    min_score: Annotated[float, typer.Option(metavar="X", help="Least weighted score, 0-10.")] = 0.0,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the oldest record.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many articles.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as they are.")] = False,
) -> None:
    """Scored articles as they come; Ctrl-C ends."""
    import contextlib

    from consumers.tail import Wanted, follow, line

    wanted = Wanted(filter_name, min_score)

    async def show() -> None:
        shown = 0
        async for raw, record in follow(_settings(), wanted, from_start=from_start):
            typer.echo(raw.decode() if as_json else line(record, wanted))
            shown += 1
            if shown == count:
                return

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(show())


def status(
    as_json: AsJson = False,
    interval_sec: Annotated[float, typer.Option(min=0.1, help="Time over which rates are measured.")] = 2.0,
) -> None:
    """Lag of each stage, and the time until it has caught up."""
    from consumers.status import read_status
    from consumers.tables import print_status

    found = asyncio.run(read_status(_settings(), interval_sec))
    _print_json(found.to_dict()) if as_json else print_status(found)


@topics_app.command("plan")
def topics_plan(as_json: AsJson = False) -> None:
    """What `apply` would change."""
    _topics(apply=False, as_json=as_json)


@topics_app.command("apply")
def topics_apply(as_json: AsJson = False) -> None:
    """Create topics, add partitions, set retention. Deletes nothing and may be run again."""
    _topics(apply=True, as_json=as_json)


@dead_app.command("list")
def dead_list(reason: Reason = None, as_json: AsJson = False) -> None:
    """Dead letters, oldest first, with their place: topic/partition/offset of the original."""
    from consumers.repair import dead_letters
    from consumers.tables import print_dead

    entries = [entry.to_dict() for entry in asyncio.run(dead_letters(_settings(), reason))]
    _print_json(entries) if as_json else print_dead(entries)


@dead_app.command("show")
def dead_show(place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET")], as_json: AsJson = False) -> None:
    """One dead letter with its original headers and body."""
    from consumers.repair import dead_letters
    from consumers.tables import print_letter

    entries = [entry for entry in asyncio.run(dead_letters(_settings())) if entry.letter.place == place]
    if not entries:
        from core.errors import StillhouseError

        raise StillhouseError(f"No dead letter from {place}.", action="See `stillhouse dead list`.")
    original = entries[-1].letter.original
    details = entries[-1].to_dict() | {
        "headers": {name: (value or b"").decode("utf-8", "replace") for name, value in original.headers},
        "body": original.body.decode("utf-8", "backslashreplace"),
    }
    _print_json(details) if as_json else print_letter(details)


@dead_app.command("replay")
def dead_replay(
    reason: Reason = None,
    place: Annotated[str | None, typer.Option(metavar="TOPIC/PARTITION/OFFSET", help="Only this one.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be replayed.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish dead letters to the topics they came from, with the same key and bytes."""
    from consumers.repair import dead_letters, replay, replayable

    async def work() -> tuple[int, int]:
        entries = await dead_letters(_settings(), reason)
        wanted = [e for e in entries if (again or not e.replayed) and place in (None, e.letter.place)]
        chosen = [entry for entry in wanted if replayable(entry.letter)]
        if not dry_run:
            await replay(_settings(), chosen)
        return len(chosen), len(wanted) - len(chosen)

    replayed, left = asyncio.run(work())
    if as_json:
        _print_json({"replayed": 0 if dry_run else replayed, "would_replay": replayed, "not_replayable": left})
        return
    typer.echo(f"{replayed} dead letters {'would be replayed' if dry_run else 'replayed'}, {left} cannot be replayed.")


def _topics(*, apply: bool, as_json: bool) -> None:
    from consumers import topics
    from consumers.tables import print_changes

    settings = _settings()

    async def work() -> list[topics.Change]:
        async with topics.admin_client(settings) as admin:
            return await (topics.apply if apply else topics.plan)(admin, settings)

    changes = asyncio.run(work())
    if as_json:
        _print_json([{"topic": c.topic, "action": c.action, "detail": c.detail} for c in changes])
    else:
        print_changes(changes, applied=apply)


def _settings() -> Any:
    """Settings for commands that look in from outside: aiokafka's own complaints would repeat ours."""
    from core.settings import load_settings

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return load_settings()


def _print_json(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value).decode())
