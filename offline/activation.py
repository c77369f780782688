"""releases.json: which version is active, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from core.errors import PackageError
from core.inventory import activation
from core.package import MANIFEST, load_package, read_json, sha256_file
from core.releases import RELEASES_FILE, Activation, find_package
from offline.versions import versions


@dataclass(frozen=True)
class Activated:
    """A version that releases.json now names; `previous` is the one before."""

    name: str
    version: str
    sha256: str
    folder: Path
    previous: str | None


def activate(folders: Sequence[Path], name: str, version: str) -> str | None:
    """Name the version in the last folder's releases.json; returns the version that was active before."""
    path = folders[-1] / RELEASES_FILE
    now = _configured(folders)
    # A new file must not change the commerce head, which every releases.json names.
    before = read_json(path, Activation) if path.is_file() else Activation(commerce=now.commerce)
    content = before.model_copy(update={"filters": dict(sorted({**before.filters, name: version}.items()))})
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_bytes(orjson.dumps(content.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n")
    temporary.replace(path)
    return now.filters.get(name)


def _configured(folders: Sequence[Path]) -> Activation:
    """releases.json of all folders; it may name no filter yet."""
    parts = [read_json(f / RELEASES_FILE, Activation) for f in folders if (f / RELEASES_FILE).is_file()]
    filters = {name: version for part in parts for name, version in part.filters.items()}
    return Activation(filters=filters, commerce=parts[-1].commerce) if parts else Activation()


def rollback(folders: Sequence[Path], name: str, to: str | None = None) -> Activated:
    """Make the version before the active one active again; `to` names another.

    Raises:
        PackageError: there is none, or it does not load.
    """
    now = activation(folders).filters.get(name)
    target = to or _version_before(folders, name, now)
    folder = find_package(folders, name, target)
    load_package(folder)
    activate(folders, name, target)
    return Activated(name, target, sha256_file(folder / MANIFEST), folder, now)


def trained_versions(folders: Sequence[Path], name: str) -> list[str]:
    return [v for v in versions(folders, name) if (find_package(folders, name, v) / MANIFEST).is_file()]


def _version_before(folders: Sequence[Path], name: str, now: str | None) -> str:
    trained = trained_versions(folders, name)
    earlier = trained[: trained.index(now)] if now in trained else []
    if not earlier:
        raise PackageError(
            f"{name} has no trained version before {now or 'the first'}.",
            action=f"Trained versions: {', '.join(trained) or 'none'}. See `stillhouse filters list`.",
        )
    return earlier[-1]
