"""A random Gemma of a few thousand parameters, on disk like the real one."""

from pathlib import Path

import torch
from transformers import Gemma3TextConfig, Gemma3TextModel

from core.spec import Dimension, FilterSpec, Tier


def write_tiny_gemma(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=64,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    )
    model = Gemma3TextModel(config)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    # The base checkpoint is a causal LM's: its tensors start with "model.".
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    from safetensors.torch import save_file

    save_file({f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    return folder


def tiny_spec(name: str = "kindness") -> FilterSpec:
    return FilterSpec(
        name=name,
        version="v1",
        status="development",
        description="for tests",
        dimensions=(
            Dimension(name="warmth", weight=0.6, meaning="warm"),
            Dimension(name="depth", weight=0.4, meaning="deep"),
        ),
        tiers=(Tier(name="high", at_least=7), Tier(name="medium", at_least=4)),
    )
