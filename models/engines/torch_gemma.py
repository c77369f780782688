"""Gemma 3 in plain torch: the engine for any CPU that OpenVINO does not know, one sequence a pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from models.engines.batching import QUANTUM, TokenBudget, pad, padded_length, run
from models.engines.gemma import GemmaWeights, attention_mask, rope_tables
from models.engines.protocol import States, TokenIds
from models.processor import NumberType

DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}
_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
    "self_attn.q_norm",
    "self_attn.k_norm",
)
_FLEX_BLOCK = QUANTUM
"""Keys per step of the packed attention: sequences begin at multiples of it, so that their place does not matter."""

_KERNEL: Any = {"BLOCK_N": _FLEX_BLOCK}

Mask = Tensor | BlockMask | None
Rope = dict[str, tuple[Tensor, Tensor]]


class TorchGemma:
    """The scorer on torch's CPU kernels: MKL rounds a row differently with its place and neighbours (1e-5)."""

    def __init__(self, weights: GemmaWeights, max_tokens: int, number_type: NumberType) -> None:
        self.number_type, self.width = number_type, weights.shape.hidden
        self._weights, self._budget = weights, TokenBudget(tokens=1, rows=1)
        self._model = GemmaModel(weights, max_tokens, torch.device("cpu"), DTYPES[number_type])
        self._masks: dict[str, Mask] = {}
        if max_tokens > weights.shape.sliding_window:
            mask = attention_mask(padded_length(max_tokens), weights.shape.sliding_window)
            self._masks["sliding_attention"] = self._model.place(torch.from_numpy(mask))

    @property
    def name(self) -> str:
        return f"torch-cpu-{self.number_type}"

    def states(self, sequences: Sequence[TokenIds]) -> States:
        return run(sequences, self._budget, self.width, self._compute)

    @torch.inference_mode()
    def _compute(self, rows: Sequence[TokenIds], padded: int) -> States:
        embeddings = self._model.place(torch.from_numpy(self._weights.embed(pad(rows, padded))))
        rope = {kind: (cos[:padded], sin[:padded]) for kind, (cos, sin) in self._model.rope.items()}
        masks = {kind: mask[:padded, :padded] for kind, mask in self._masks.items() if isinstance(mask, Tensor)}
        last = torch.tensor([len(ids) - 1 for ids in rows])
        states: States = self._model.forward(embeddings, (torch.arange(len(rows)), last), rope, masks).numpy()
        return states


class GemmaModel:
    """Merged weights on one device."""

    def __init__(self, weights: GemmaWeights, max_tokens: int, device: torch.device, dtype: torch.dtype) -> None:
        self.shape, self.device, self.dtype = weights.shape, device, dtype
        self.layers = [self._layer(weights, f"layers.{index}") for index in range(self.shape.layers)]
        self.final_norm = self.place(torch.from_numpy(weights.norm("norm")), torch.float32)
        self.rope: Rope = {kind: self._rope(kind, padded_length(max_tokens)) for kind in set(self.shape.layer_types)}

    def place(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return tensor.to(self.device, dtype or self.dtype)

    def forward(self, hidden: Tensor, last: tuple[Tensor, Tensor], rope: Rope, masks: Mapping[str, Mask]) -> Tensor:
        """Float32 states after the final norm, one for each place that `last` names by row and position.

        Args:
            hidden: [rows, length, hidden].
            rope: cos and sin of every position by kind of layer, [length, head_dim] each.
            masks: by kind of layer; a kind without one is causal.
        """
        for index, kind in enumerate(self.shape.layer_types):
            layer = self.layers[index]
            attended = self._attend(hidden, layer, rope[kind], masks.get(kind))
            if index == self.shape.layers - 1:
                hidden, attended = hidden[last], attended[last]
            hidden = self._finish(hidden, attended, layer)
        return self._norm(hidden.float(), self.final_norm)

    def _attend(self, hidden: Tensor, layer: dict[str, Tensor], rope: tuple[Tensor, Tensor], mask: Mask) -> Tensor:
        shape, (rows, length, _) = self.shape, hidden.shape
        normed = self._norm(hidden, layer["input_layernorm"])
        mixed = F.linear(normed, layer["qkv"]).view(rows, length, -1, shape.head_dim).transpose(1, 2)
        query, key, value = torch.split(mixed, [shape.heads, shape.kv_heads, shape.kv_heads], 1)
        query = _rotate(self._norm(query, layer["self_attn.q_norm"]), rope)
        key = _rotate(self._norm(key, layer["self_attn.k_norm"]), rope)
        options: Any = {"scale": shape.query_scale, "enable_gqa": shape.heads != shape.kv_heads}
        if isinstance(mask, BlockMask):
            attended: Tensor = flex_attention(query, key, value, block_mask=mask, kernel_options=_KERNEL, **options)
        else:
            attended = F.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, is_causal=mask is None, **options
            )
        return attended.transpose(1, 2).reshape(rows, length, -1)

    def _finish(self, hidden: Tensor, attended: Tensor, layer: dict[str, Tensor]) -> Tensor:
        hidden = hidden + self._norm(F.linear(attended, layer["self_attn.o_proj"]), layer["post_attention_layernorm"])
        normed = self._norm(hidden, layer["pre_feedforward_layernorm"])
        gate, up = F.linear(normed, layer["gate_up"]).chunk(2, -1)
        lowered = F.linear(F.gelu(gate, approximate="tanh") * up, layer["mlp.down_proj"])
        return hidden + self._norm(lowered, layer["post_feedforward_layernorm"])

    def _norm(self, states: Tensor, weight: Tensor) -> Tensor:
        wide = states.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.shape.eps)
        return (wide * weight).to(states.dtype)

    def _rope(self, kind: str, length: int) -> tuple[Tensor, Tensor]:
        cos, sin = rope_tables(length, self.shape.rope_theta[kind], self.shape.head_dim)
        return self.place(torch.from_numpy(cos)), self.place(torch.from_numpy(sin))

    def _layer(self, weights: GemmaWeights, name: str) -> dict[str, Tensor]:
        """Projections that read the same input are one matrix."""

        def matrix(*modules: str) -> Tensor:
            parts = [torch.from_numpy(weights.matrix(f"{name}.{module}")) for module in modules]
            return self.place(torch.cat(parts))

        layer = {norm: self.place(torch.from_numpy(weights.norm(f"{name}.{norm}")), torch.float32) for norm in _NORMS}
        layer["qkv"] = matrix("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        layer["gate_up"] = matrix("mlp.gate_proj", "mlp.up_proj")
        return layer | {module: matrix(module) for module in ("self_attn.o_proj", "mlp.down_proj")}


def _rotate(states: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    first, second = states.chunk(2, -1)
    return states * rope[0] + torch.cat((-second, first), -1) * rope[1]
