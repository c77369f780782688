"""Gemma-3 text model with LoRA, written for training speed on few cores.

Same mathematics as transformers' Gemma3TextModel with a PEFT adapter (a test holds them equal), but: base weights in
bf16 with fp32 LoRA masters, one product for q, k, v and one for gate and up, no mask (right padding is harmless under
causal attention up to the sliding window), the last layer computed for the last token alone, and a layer that
torch.compile fuses once for all layers. Measured on 2 cores with avx512_bf16: see docs/decisions.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from safetensors.torch import load_file
from torch import Tensor, nn

from models.engines.protocol import GemmaShape

GROUPS = {
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "o": ("o_proj",),
    "up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}
"""Projections that read the same input, computed as one matrix product."""


class LoraGroup(nn.Module):
    """Frozen projections that share an input, with a LoRA update each.

    lora_a: fp32 [n * rank, in]; lora_b: one fp32 [out, rank] each. `weight`: [sum of outs, in] in compute precision.
    """

    weight: Tensor

    def __init__(self, weights: list[Tensor], rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.outs = [weight.shape[0] for weight in weights]
        self.rank, self.scale = rank, scale
        self.register_buffer("weight", torch.cat(weights).contiguous(), persistent=False)
        width = weights[0].shape[1]
        bound = math.sqrt(1 / width)
        first = torch.empty(len(weights) * rank, width).uniform_(-bound, bound, generator=generator)
        self.lora_a = nn.Parameter(first)
        self.lora_b = nn.ParameterList([nn.Parameter(torch.zeros(out, rank)) for out in self.outs])

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(x, self.lora_a.to(x.dtype))
        parts = [
            F.linear(part, (b * self.scale).to(x.dtype))
            for part, b in zip(low.tensor_split(len(self.outs), -1), self.lora_b, strict=True)
        ]
        update = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        return F.linear(x, self.weight) + update


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (wide * (1 + weight)).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    turned = torch.cat((-second, first), -1)
    return (x * cos + turned * sin).to(x.dtype)


class Layer(nn.Module):
    """One decoder layer."""

    input_layernorm: Tensor
    post_attention_layernorm: Tensor
    pre_feedforward_layernorm: Tensor
    post_feedforward_layernorm: Tensor
    q_norm: Tensor
    k_norm: Tensor

    def __init__(self, shape: GemmaShape, groups: dict[str, LoraGroup], norms: dict[str, Tensor]) -> None:
        super().__init__()
        self.shape = shape
        self.groups = nn.ModuleDict(groups)
        for name, weight in norms.items():
            self.register_buffer(name, weight.float(), persistent=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x: [batch, length, hidden]; cos, sin: [length, head_dim]."""
        return self.finish(x, self.attend(x, cos, sin))

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attention output before its projection, [batch, length, heads * head_dim]."""
        s = self.shape
        batch, length, _ = x.shape
        mixed = self.project("qkv", rms_norm(x, self.input_layernorm, s.eps))
        mixed = mixed.view(batch, length, s.heads + 2 * s.kv_heads, s.head_dim).transpose(1, 2)
        q, k, v = mixed.tensor_split((s.heads, s.heads + s.kv_heads), 1)
        q = rotate(rms_norm(q, self.q_norm, s.eps), cos, sin)
        k = rotate(rms_norm(k, self.k_norm, s.eps), cos, sin)
        repeat = s.heads // s.kv_heads
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=s.query_scale)
        return out.transpose(1, 2).reshape(batch, length, -1)

    def lora_group(self, name: str) -> LoraGroup:
        return cast(LoraGroup, self.groups[name])

    def project(self, group: str, x: Tensor) -> Tensor:
        projected: Tensor = self.groups[group](x)
        return projected

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Everything after attention; works token by token."""
        s = self.shape
        x = x + rms_norm(self.project("o", attended), self.post_attention_layernorm, s.eps)
        gate, up = self.project("up", rms_norm(x, self.pre_feedforward_layernorm, s.eps)).chunk(2, -1)
        out = self.project("down", F.gelu(gate, approximate="tanh") * up)
        return x + rms_norm(out, self.post_feedforward_layernorm, s.eps)


class Trunk(nn.Module):
    """Token ids -> final-norm state of the last token, fp32 [batch, hidden]. Only LoRA parameters are trainable."""

    embedding: Tensor
    final_norm: Tensor

    def __init__(self, folder: Path, rank: int, alpha: float, dtype: torch.dtype, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape = GemmaShape.from_config(json.loads((folder / "config.json").read_text()))
        self._thetas = [shape.rope_theta[kind] for kind in shape.layer_types]
        weights = load_file(folder / "model.safetensors")
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("embedding", weights["model.embed_tokens.weight"].to(dtype), persistent=False)
        self.register_buffer("final_norm", weights["model.norm.weight"].float(), persistent=False)
        self._ordered = [_layer(shape, weights, i, (rank, alpha / rank), dtype, generator) for i in range(shape.layers)]
        self.layers = nn.ModuleList(self._ordered)
        self._run = Layer.forward
        self._frozen = 0

    def adapt_top(self, count: int) -> None:
        """Train the LoRA of the last `count` layers alone; the layers below run without gradients, as released."""
        self._frozen = len(self._ordered) - min(count, len(self._ordered))
        for layer in self._ordered[: self._frozen]:
            layer.requires_grad_(False)

    def compile(self) -> None:
        """Fuse the layer (about 40 s once, cached on disk): 1.3 times the tokens per second."""
        self._run = torch.compile(Layer.forward, dynamic=True)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids: [batch, length], right-padded; lengths: [batch]."""
        x = F.embedding(ids, self.embedding)
        x = x * torch.tensor(self.shape.hidden**0.5, dtype=x.dtype)
        tables = {theta: self._rope(ids.shape[1], theta, x) for theta in self._thetas}
        rows, last = torch.arange(len(ids), device=ids.device), lengths - 1
        for index, (layer, theta) in enumerate(zip(self._ordered, self._thetas, strict=True)):
            if layer is self._ordered[-1]:
                attended = layer.attend(x, *tables[theta])
                x = layer.finish(x[rows, last], attended[rows, last])
            else:
                with torch.set_grad_enabled(torch.is_grad_enabled() and index >= self._frozen):
                    x = self._run(layer, x, *tables[theta])
        return rms_norm(x.float(), self.final_norm, self.shape.eps)

    def _rope(self, length: int, theta: float, like: Tensor) -> tuple[Tensor, Tensor]:
        dim = self.shape.head_dim
        inverse = 1 / theta ** (torch.arange(0, dim, 2).float() / dim)
        angles = torch.outer(torch.arange(length).float(), inverse)
        angles = torch.cat((angles, angles), -1)
        return angles.cos().to(like), angles.sin().to(like)

    def lora(self) -> Iterator[tuple[str, str, Tensor, Tensor]]:
        """(module path in transformers' naming, projection, lora_A [rank, in], lora_B [out, rank])."""
        for index, layer in enumerate(self._ordered):
            for group, names in GROUPS.items():
                part = layer.lora_group(group)
                for name, a, b in zip(names, part.lora_a.tensor_split(len(names)), part.lora_b, strict=True):
                    yield f"layers.{index}.{_block(name)}.{name}", name, a, b


def _block(projection: str) -> str:
    return "mlp" if projection in ("gate_proj", "up_proj", "down_proj") else "self_attn"


def _layer(
    shape: GemmaShape,
    weights: dict[str, Tensor],
    index: int,
    lora: tuple[int, float],
    dtype: torch.dtype,
    generator: torch.Generator,
) -> Layer:
    prefix = f"model.layers.{index}."
    groups = {
        group: LoraGroup(
            [weights[f"{prefix}{_block(name)}.{name}.weight"].to(dtype) for name in names], *lora, generator
        )
        for group, names in GROUPS.items()
    }
    norms = {
        name.rsplit(".", 1)[-1]: weights[f"{prefix}{name}.weight"]
        for name in (
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
            "self_attn.q_norm",
            "self_attn.k_norm",
        )
    }
    return Layer(shape, groups, norms)
