"""Which versions of a filter lie in the filter folders, and which of them is active."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from core.errors import PackageError
from core.releases import find_package, load_activation
from core.spec import VERSION_PATTERN, FilterSpec, load_spec


def versions(folders: Sequence[Path], name: str) -> list[str]:
    """Versions of `name` in any of the folders, oldest first."""
    found = {
        path.name
        for folder in folders
        for path in (folder / name).glob("v*")
        if VERSION_PATTERN.fullmatch(path.name) and (path / "config.yaml").is_file()
    }
    return sorted(found, key=_number)


def next_version(folders: Sequence[Path], name: str) -> str:
    existing = versions(folders, name)
    return f"v{_number(existing[-1]) + 1}" if existing else "v1"


def active_version(folders: Sequence[Path], name: str) -> str | None:
    """The version named in releases.json; None where the filter was never released."""
    try:
        return load_activation(folders).filters.get(name)
    except PackageError:
        return None  # no releases.json at all: nothing is active yet


def current_folder(folders: Sequence[Path], name: str) -> Path:
    """Folder of the active version, else of the newest one (a draft, usually)."""
    existing = versions(folders, name)
    if not existing:
        raise PackageError(
            f"No filter {name!r} in {', '.join(map(str, folders))}.",
            action="See `stillhouse filters list`, or make one: `stillhouse filters new NAME --rubric FILE`.",
        )
    return find_package(folders, name, active_version(folders, name) or existing[-1])


def current_spec(folders: Sequence[Path], name: str) -> FilterSpec:
    return load_spec(current_folder(folders, name) / "config.yaml")


def rename_config(source: Path, target: Path, version: str) -> None:
    """The config under its new version, comments kept; a draft that has a model is one no more."""
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    for at, line in enumerate(lines):
        if line.startswith("version:"):
            lines[at] = f"version: {version}\n"
        if line.startswith("status:") and yaml.safe_load(line)["status"] == "draft":
            lines[at] = "status: development\n"
    target.write_text("".join(lines), encoding="utf-8")
    load_spec(target)


def _number(version: str) -> int:
    return int(version.removeprefix("v"))
