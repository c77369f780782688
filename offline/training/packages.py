"""Writes trained packages: beside the old one first, then renamed into place."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from core.package import BaseModelRef, EncoderRef, Manifest, TrunkRef, write_manifest
from core.spec import FilterSpec
from models.heads import Perceptron
from offline.training.fit import Fitted


@dataclass(frozen=True)
class Origin:
    """What a package was made from."""

    base_model: BaseModelRef | None
    encoder: EncoderRef
    trunk: TrunkRef | None
    max_tokens: int | None


@dataclass(frozen=True)
class Draft:
    """Spec and rubric that a package starts from, read from `folder`."""

    folder: Path
    spec: FilterSpec


@dataclass(frozen=True)
class Facts:
    """What the manifest and the card tell about a filter."""

    data: Mapping[str, Any]
    metrics: Mapping[str, Any]
    card: str


@dataclass(frozen=True)
class TrunkParts:
    """What makes a trunk. given: files it was trained from (recipe, labels). sides: split by article id, so that no
    filter is tested on what the trunk saw.
    """

    given: Sequence[Path]
    heads: Mapping[str, Perceptron]
    sides: Mapping[str, str]
    metrics: Mapping[str, Any]
    write_adapter: Callable[[Path], None]


def write_filter(draft: Draft, fitted: Fitted, origin: Origin, facts: Facts, target: Path) -> str:
    """Write a filter package; returns the manifest's sha256."""

    def fill(folder: Path) -> None:
        for name in ("config.yaml", "prompt.md"):
            shutil.copyfile(draft.folder / name, folder / name)
        fitted.head.save(folder / "head.safetensors")
        fitted.probe.save(folder / "probe.safetensors")
        for name, part in (
            ("calibration.json", fitted.calibration),
            ("intervals.json", fitted.intervals),
            ("gate.json", fitted.gate),
            ("normalization.json", fitted.normalisation),
        ):
            write_json(folder / name, part)
        (folder / "README.md").write_text(facts.card, encoding="utf-8")

    manifest = _manifest(draft.spec.name, draft.spec.version, origin, facts.metrics)
    return write_package(target, manifest.model_copy(update={"data": facts.data}), fill)


def write_trunk(name: str, version: str, parts: TrunkParts, origin: Origin, target: Path) -> str:
    """Write a trunk package; returns the manifest's sha256."""

    def fill(folder: Path) -> None:
        for path in parts.given:
            shutil.copyfile(path, folder / path.name)
        parts.write_adapter(folder / "adapter")
        (folder / "heads").mkdir()
        for head_name, head in parts.heads.items():
            head.save(folder / "heads" / f"{head_name}.safetensors")
        (folder / "split.json").write_bytes(orjson.dumps(parts.sides, option=orjson.OPT_SORT_KEYS) + b"\n")

    return write_package(target, _manifest(name, version, origin, parts.metrics), fill)


def _manifest(name: str, version: str, origin: Origin, metrics: Mapping[str, Any]) -> Manifest:
    return Manifest(
        name=name,
        version=version,
        files={},
        base_model=origin.base_model,
        encoder=origin.encoder,
        trunk=origin.trunk,
        max_tokens=origin.max_tokens,
        metrics=metrics,
    )


def write_package(target: Path, manifest: Manifest, fill: Callable[[Path], None]) -> str:
    """Fill a new folder, seal it with a manifest, and put it in the place of `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    partial.chmod(0o755)
    try:
        fill(partial)
        for path in partial.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors writes files that only their owner may read
        digest = write_manifest(partial, manifest)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return digest


def write_json(path: Path, part: BaseModel) -> None:
    path.write_bytes(orjson.dumps(part.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n")
