"""A plain PEFT adapter from the Hub as a filter package: its own pass, no probe to close it, no calibration."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from core.calibration import Calibration, Gate, Intervals, Normalisation
from core.errors import PackageError
from core.package import BaseModelRef, Manifest, write_manifest
from core.spec import load_spec
from models.heads import Perceptron
from models.lora import load_lora
from offline.versions import rename_config

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_EMBEDDING = 384
"""Width of e5-small, which the probe reads."""


@dataclass(frozen=True)
class Template:
    """The filter whose config and rubric a bare adapter gets, and the version that it becomes."""

    folder: Path
    version: str


def is_plain_peft(folder: Path) -> bool:
    """True if the folder holds an adapter at its root and no package around it."""
    return (folder / ADAPTER_FILES[0]).is_file() and not (folder / "config.yaml").is_file()


def wrap_adapter(folder: Path, template: Template | None, origin: str) -> None:
    """Turn the folder into a package with the template's config and rubric.

    Raises:
        PackageError: no template is named, or the adapter does not fit its dimensions.
    """
    if template is None:
        raise PackageError(
            f"{origin} holds a bare adapter, which does not say what it scores.",
            action="Name a filter with the same dimensions, in the adapter's order: --as NAME.",
        )
    adapter = folder / "adapter"
    adapter.mkdir()
    for name in ADAPTER_FILES:
        (folder / name).rename(adapter / name)
    for other in [path for path in folder.iterdir() if path != adapter]:
        shutil.rmtree(other) if other.is_dir() else other.unlink()
    rename_config(template.folder / "config.yaml", folder / "config.yaml", template.version)
    shutil.copyfile(template.folder / "prompt.md", folder / "prompt.md")
    spec = load_spec(folder / "config.yaml")
    lora = load_lora(adapter)
    if lora.score is None or len(lora.score) != len(spec.dimensions):
        found = "no score layer" if lora.score is None else f"a score layer of {len(lora.score)}"
        raise PackageError(
            f"{origin} has {found}, {spec.name} has {len(spec.dimensions)} dimensions.",
            action="Name the filter that the adapter was trained for.",
        )
    _open_probe(len(spec.dimensions)).save(folder / "probe.safetensors")
    note = "a plain adapter brings no probe that was fitted"
    parts = {
        "calibration.json": Calibration(),
        "intervals.json": Intervals(),
        "gate.json": Gate(note=note),
        "normalization.json": Normalisation(sample=0),
    }
    for name, part in parts.items():
        (folder / name).write_bytes(orjson.dumps(part.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
    base = orjson.loads((adapter / ADAPTER_FILES[0]).read_bytes()).get("base_model_name_or_path")
    card = f"# {spec.name} {spec.version}\n\nPlain PEFT adapter of {origin}. Not calibrated, never gated.\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    reference = BaseModelRef(id=base, revision="unknown") if base else None
    write_manifest(folder, Manifest(name=spec.name, version=spec.version, files={}, base_model=reference))


def _open_probe(dimensions: int) -> Perceptron:
    """Says 0 on every dimension, and that the gate is open."""
    outputs = dimensions + 1
    return Perceptron(
        center=np.zeros(_EMBEDDING, dtype=np.float32),
        scale=np.ones(_EMBEDDING, dtype=np.float32),
        skip=np.zeros((outputs, _EMBEDDING), dtype=np.float32),
        bias=np.array([0.0] * dimensions + [10.0], dtype=np.float32),
        hidden=np.zeros((0, _EMBEDDING), dtype=np.float32),
        hidden_bias=np.zeros(0, dtype=np.float32),
        out=np.zeros((outputs, 0), dtype=np.float32),
    )
