"""A PEFT LoRA adapter: read without peft or torch, and merged into the base weights."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import PackageError
from models.tensor_file import Matrix, TensorFile

_KEY = re.compile(r"^(?:base_model\.model\.)?(?:model\.)?(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight$")
"""Old keys end in `.lora_A.weight`, new ones in `.lora_A.default.weight`."""
_SCORE = re.compile(r"^base_model\.model\.score(?:\.modules_to_save(?:\.default)?)?\.weight$")
_UNSUPPORTED = ("use_dora", "alpha_pattern", "rank_pattern", "fan_in_fan_out", "lora_bias")


@dataclass(frozen=True)
class Lora:
    """Updates by module name without the leading `model.`; `score` [outputs, hidden] where a head was saved along."""

    scale: float
    updates: dict[str, tuple[Matrix, Matrix]]
    score: Matrix | None

    def merge(self, module: str, weight: Matrix) -> Matrix:
        """weight + scale * B A."""
        if module not in self.updates:
            return weight
        a, b = self.updates[module]
        if (b.shape[0], a.shape[1]) != weight.shape:
            raise PackageError(
                f"The adapter's {module} is {b.shape[0]} x {a.shape[1]}, the base model's {weight.shape}.",
                action="This adapter belongs to another base model: see its adapter_config.json.",
            )
        return weight + np.float32(self.scale) * (b @ a)


def load_lora(folder: Path) -> Lora:
    """Read adapter_config.json and adapter_model.safetensors.

    Raises:
        PackageError: a file is missing, or the adapter is of a kind that cannot be merged exactly.
    """
    config = _config(folder / "adapter_config.json")
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise PackageError(f"{path}: missing.", action="Restore the adapter from its source; .bin files are not read.")
    file = TensorFile(path)
    sides: dict[str, dict[str, Matrix]] = {}
    score = None
    for name in file:
        if match := _KEY.match(name):
            sides.setdefault(match["module"], {})[match["side"]] = file.f32(name)
        elif _SCORE.match(name):
            score = file.f32(name)
        else:
            raise PackageError(f"{path}: unknown tensor {name}.", action="Only LoRA updates and a score head are read.")
    if incomplete := sorted(module for module, pair in sides.items() if len(pair) != 2):
        raise PackageError(f"{path}: {incomplete[0]} lacks its A or B.", action="Restore the adapter from its source.")
    root = config["r"] ** 0.5 if config.get("use_rslora") else config["r"]
    updates = {module: (pair["A"], pair["B"]) for module, pair in sides.items()}
    return Lora(config["lora_alpha"] / root, updates, score)


def _config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind, _, _ = config["peft_type"], config["r"], config["lora_alpha"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackageError(f"{path}: {error!r}.", action="Restore the adapter from its source.") from error
    if kind != "LORA" or any(config.get(key) for key in _UNSUPPORTED) or config.get("bias", "none") != "none":
        unsupported = [key for key in _UNSUPPORTED if config.get(key)] or [f"{kind}, bias {config.get('bias')}"]
        raise PackageError(
            f"{path}: {', '.join(unsupported)} cannot be merged.", action="Use a plain LoRA adapter without biases."
        )
    return config
