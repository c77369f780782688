"""The trunk's LoRA in PEFT's format: adapter_config.json and adapter_model.safetensors (bf16)."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from offline.training.gemma import Trunk

_PREFIX = "base_model.model.model."


def export_adapter(trunk: Trunk, folder: Path, rank: int, alpha: float, base_model: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for path, _, a, b in trunk.lora():
        tensors[f"{_PREFIX}{path}.lora_A.weight"] = a.detach().to(torch.bfloat16).contiguous()
        tensors[f"{_PREFIX}{path}.lora_B.weight"] = b.detach().to(torch.bfloat16).contiguous()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": base_model,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name for _, name, _, _ in trunk.lora()}),
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_trunk(base: Path, adapter: Path, dtype: torch.dtype) -> Trunk:
    """The base model with a released adapter."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    trunk = Trunk(base, config["r"], float(config["lora_alpha"]), dtype)
    tensors = load_file(adapter / "adapter_model.safetensors")
    with torch.no_grad():
        for path, _, a, b in trunk.lora():
            # `a` is a view of its group's matrix, so copying into it fills the parameter.
            a.copy_(tensors[f"{_PREFIX}{path}.lora_A.weight"].float())
            b.copy_(tensors[f"{_PREFIX}{path}.lora_B.weight"].float())
    return trunk
