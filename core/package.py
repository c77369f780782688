"""A filter package on disk: config, calibration and manifest, verified before anything is used."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from core.calibration import Calibration, Gate, Intervals, Normalisation
from core.errors import PackageError
from core.spec import FilterSpec, load_spec

MANIFEST = "manifest.json"
_Model = TypeVar("_Model", bound=BaseModel)


class BaseModelRef(BaseModel):
    """A pretrained model that a package was trained on. `revision` is the hub's, or a sha256 of the weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    revision: str


class EncoderRef(BaseModelRef):
    """The encoder with everything that changes an embedding."""

    prefix: str = "query: "
    max_tokens: int = 512


class TrunkRef(BaseModel):
    """The trunk that a filter's head was trained on, by the sha256 of its manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    version: str
    sha256: str


class Manifest(BaseModel):
    """manifest.json: what a package consists of and where it came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: int = 1
    name: str
    version: str
    files: Mapping[str, str]
    base_model: BaseModelRef | None = None
    encoder: EncoderRef | None = None
    trunk: TrunkRef | None = None
    max_tokens: int | None = None
    data: Mapping[str, Any] = {}
    metrics: Mapping[str, Any] = {}


@dataclass(frozen=True)
class FilterPackage:
    """One loaded filter version: everything but the weights, which models/ reads from `folder`."""

    folder: Path
    spec: FilterSpec
    prompt: str
    manifest: Manifest
    manifest_sha256: str
    calibration: Calibration
    intervals: Intervals
    normalisation: Normalisation
    gate: Gate

    @property
    def has_own_adapter(self) -> bool:
        return (self.folder / "adapter" / "adapter_config.json").is_file()


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def prompt_hash(prompt: str) -> str:
    """Hash that travels with every label: labels of different rubrics must not be mixed unknowingly.

    Blind to white space around the text, which an editor changes and no reader sees.
    """
    return hashlib.sha256(prompt.strip().encode()).hexdigest()[:16]


def load_manifest(folder: Path) -> tuple[Manifest, str]:
    """Read manifest.json and verify every file it lists. Returns the manifest and its own sha256."""
    path = folder / MANIFEST
    manifest = read_json(path, Manifest)
    for name, expected in manifest.files.items():
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\\" in name:
            raise PackageError(f"{path}: file name {name!r} leaves the package.", action="Do not use this package.")
        file = folder / name
        if not file.is_file() or file.is_symlink():
            raise PackageError(f"{file}: missing.", action="Restore the package from its source.")
        if sha256_file(file) != expected:
            raise PackageError(
                f"{file}: sha256 differs from the manifest: the file was changed after release.",
                action="Restore the package from its source, or release a new version.",
            )
    return manifest, sha256_file(path)


def load_package(folder: Path) -> FilterPackage:
    """Load and verify a trained package.

    Raises:
        PackageError: a file is missing, changed, unreadable or does not fit the others.
    """
    manifest, digest = load_manifest(folder)
    spec = load_spec(folder / "config.yaml")
    if (manifest.name, manifest.version) != (spec.name, spec.version):
        raise PackageError(
            f"{folder / MANIFEST}: names {manifest.name}/{manifest.version}, config.yaml {spec.name}/{spec.version}.",
            action="Release the package again.",
        )
    required = {
        "config.yaml",
        "prompt.md",
        "calibration.json",
        "gate.json",
        "intervals.json",
        "normalization.json",
    }
    if unlisted := required - set(manifest.files):
        raise PackageError(f"{folder / MANIFEST}: does not list {sorted(unlisted)}.", action="Release it again.")
    return FilterPackage(
        folder=folder,
        spec=spec,
        prompt=(folder / "prompt.md").read_text(encoding="utf-8"),
        manifest=manifest,
        manifest_sha256=digest,
        calibration=read_json(folder / "calibration.json", Calibration),
        intervals=read_json(folder / "intervals.json", Intervals),
        normalisation=read_json(folder / "normalization.json", Normalisation),
        gate=read_json(folder / "gate.json", Gate),
    )


def read_json(path: Path, model: type[_Model]) -> _Model:
    """Read a JSON file of a package into its model; the error names the file and the faulty key."""
    try:
        return model.model_validate(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise PackageError(f"{path}: {error.strerror}.", action="Restore the package from its source.") from error
    except orjson.JSONDecodeError as error:
        raise PackageError(f"{path}: not valid JSON: {error}.", action="Restore the package.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise PackageError(f"{path}: {where}: {first['msg']}.", action="Release the package again.") from error


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Write manifest.json for the files that lie in `folder` now; returns its sha256."""
    files = {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    content = manifest.model_copy(update={"files": files}).model_dump(mode="json")
    (folder / MANIFEST).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    return sha256_file(folder / MANIFEST)
