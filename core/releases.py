"""Which version of every filter is active. A newest folder never activates itself."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, Field

from core.errors import PackageError
from core.package import read_json
from core.spec import NAME_PATTERN, VERSION_PATTERN

RELEASES_FILE = "releases.json"


class Activation(BaseModel):
    """releases.json: active versions by filter name, and that of the commerce head."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    filters: Mapping[str, str] = Field(default_factory=dict)
    commerce: str = "v2"


@dataclass(frozen=True)
class ReleaseSet:
    """Active packages by name (filters, trunks and commerce) with the sha256 of their manifests."""

    versions: Mapping[str, tuple[str, str]]

    @cached_property
    def id(self) -> str:
        """sha256 over name, version and manifest of every member: equal sets score alike."""
        canonical = orjson.dumps({k: list(v) for k, v in self.versions.items()}, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()


def load_activation(folders: Sequence[Path]) -> Activation:
    """Merge releases.json of every filter folder; a later folder overrides an earlier one by name."""
    merged: dict[str, str] = {}
    commerce = None
    for folder in folders:
        path = folder / RELEASES_FILE
        if path.is_file():
            activation = read_json(path, Activation)
            merged |= activation.filters
            commerce = activation.commerce
    if not merged:
        raise PackageError(
            f"No {RELEASES_FILE} with active filters in {', '.join(map(str, folders)) or 'no folder'}.",
            action="Set STILLHOUSE_FILTERS to a folder of packages, or run `stillhouse release NAME`.",
        )
    return Activation(filters=merged, commerce=commerce or "v2")


def find_package(folders: Iterable[Path], name: str, version: str) -> Path:
    """Folder of `name`/`version`; the last folder that has it wins. Names that leave the folder are refused."""
    parts = name.split("/")
    if not all(NAME_PATTERN.fullmatch(part) for part in parts) or not VERSION_PATTERN.fullmatch(version):
        raise PackageError(f"{name}/{version} is not a package name.", action="Use NAME/vN, for example uplifting/v6.")
    searched = list(folders)
    for folder in reversed(searched):
        candidate = folder / name / version
        if candidate.is_dir():
            return candidate
    raise PackageError(
        f"{name}/{version} is in none of {', '.join(map(str, searched))}.",
        action="See `stillhouse filters list`.",
    )
