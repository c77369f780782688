"""What a released trunk settles for the filters on it: the split, the weights of its sources, its own heads."""

from pathlib import Path

import orjson

from core.errors import PackageError
from core.package import TrunkRef, load_manifest
from models.heads import Perceptron
from offline.splits import Side
from offline.training.recipes import load_recipe
from offline.training.workshop import TrunkFolder


def open_trunk(folder: Path) -> tuple[TrunkFolder, TrunkRef]:
    manifest, digest = load_manifest(folder)
    if manifest.max_tokens is None or "adapter/adapter_config.json" not in manifest.files:
        raise PackageError(f"{folder}: is no trunk.", action="Name a folder such as filters/trunks/joint-270m/v1.")
    return TrunkFolder(folder, digest, manifest.max_tokens), TrunkRef(
        name=manifest.name, version=manifest.version, sha256=digest
    )


def settled_sides(trunk: Path) -> dict[str, Side]:
    """The split that the trunk was trained with: its test articles stay unseen by every filter on it."""
    path = trunk / "split.json"
    found: dict[str, Side] = orjson.loads(path.read_bytes()) if path.is_file() else {}
    return found


def joint_head(trunk: Path, name: str, inputs: int, outputs: int) -> Perceptron | None:
    """The head that the trunk was trained with, if this filter took part with the same dimensions."""
    path = trunk / "heads" / f"{name}.safetensors"
    if not path.is_file():
        return None
    head = Perceptron.load(path)
    return head if (head.inputs, head.outputs) == (inputs, outputs) else None


def importance_of(trunk: Path) -> dict[str, float]:
    """Weight by source name, as the trunk's recipe states it; other sources count in full."""
    path = trunk / "recipe.yaml"
    return {source.name: source.importance for source in load_recipe(path).sources} if path.is_file() else {}
