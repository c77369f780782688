"""`stillhouse hub push|pull`."""

from pathlib import Path
from typing import Annotated, Any

import typer

hub = typer.Typer(help="Packages on the Hugging Face Hub (token from HF_TOKEN).", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Mount the commands on the front door."""
    app.add_typer(hub, name="hub")


@hub.command()
def push(
    package: Annotated[
        str, typer.Argument(metavar="NAME[/vN]", help="A trained filter; the active version by default.")
    ],
    repository: Annotated[str, typer.Argument(metavar="OWNER/REPO")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody see a new repository.")] = False,
    as_json: Json = False,
) -> None:
    """Upload a package with its trunk; then load it back from the Hub and compare scores."""
    from core.releases import find_package
    from core.settings import load_settings
    from offline.hub import push as upload
    from offline.hub_check import scorer_of
    from offline.versions import current_folder

    settings = load_settings()
    name, _, version = package.partition("/")
    folder = find_package(settings.filters, name, version) if version else current_folder(settings.filters, name)
    done = upload(settings.filters, folder, repository, scorer_of(settings), private=not public)
    _say(as_json, done, f"{done.files} files are at {done.repository}@{done.revision[:12]}; loaded back, equal scores.")


@hub.command()
def pull(
    repository: Annotated[str, typer.Argument(metavar="OWNER/REPO")],
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch.")] = None,
    as_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="For a plain PEFT adapter: the filter that it scores.")
    ] = None,
    into: Annotated[Path | None, typer.Option(file_okay=False, help="Filter folder; else the last configured.")] = None,
    as_json: Json = False,
) -> None:
    """Download a package. It is verified, and stays inactive until it is released."""
    from core.settings import load_settings
    from offline.hub import pull as download
    from offline.peft_package import Template
    from offline.versions import current_folder, next_version

    settings = load_settings()
    template = None
    if as_name:
        template = Template(current_folder(settings.filters, as_name), next_version(settings.filters, as_name))
    done = download(repository, into or settings.filters[-1], revision=revision, template=template)
    what = "is in" if done.new else "was already in"
    _say(as_json, done, f"{done.name} {done.version} {what} {done.folder}.")


def _say(as_json: bool, value: Any, text: str) -> None:
    import orjson

    fields = {name: getattr(value, name) for name in value.__dataclass_fields__}
    typer.echo(orjson.dumps(fields, default=str).decode() if as_json else text)
