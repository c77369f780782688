"""Gemma 3 in plain torch: the engine for any CPU that OpenVINO does not know, and for CUDA in bf16.

The CUDA path was not measured: no GPU was at hand when it was written. Its code is this file's, which the tests run
on the CPU.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from models.engines.batching import TokenBudget, pad, run
from models.engines.gemma import GemmaWeights, attention_mask, rope_tables
from models.engines.protocol import EngineError, States, TokenIds
from models.processor import NumberType

_DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}
_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
    "self_attn.q_norm",
    "self_attn.k_norm",
)
_CUDA_TOKENS, _CUDA_ROWS = 32_768, 256


class TorchGemma:
    """The scorer on torch. Each pass has the one shape that a sequence's own length gives it.

    On the CPU a pass holds one row: MKL rounds a row differently with its place and neighbours (1e-5). On CUDA short
    passes are filled with empty rows to the canonical number, for the same reason.
    """

    def __init__(
        self,
        weights: GemmaWeights,
        max_tokens: int,
        number_type: NumberType,
        device: str = "cpu",
        compiled: bool = False,
    ) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineError("No CUDA device.", action="Set STILLHOUSE_ENGINE to openvino or torch.")
        self.device, self.number_type = torch.device(device), number_type
        on_cuda = self.device.type == "cuda"
        self._budget = TokenBudget(_CUDA_TOKENS, _CUDA_ROWS) if on_cuda else TokenBudget(tokens=1, rows=1)
        self._fills_rows = on_cuda
        self._weights = weights
        self._model = _Gemma(weights, max_tokens, self.device, _DTYPES[number_type])
        self._forward: Any = torch.compile(self._model.forward, dynamic=True) if compiled else self._model.forward

    @property
    def name(self) -> str:
        return f"torch-{self.device.type}-{self.number_type}"

    @property
    def width(self) -> int:
        return self._weights.shape.hidden

    def states(self, sequences: Sequence[TokenIds]) -> States:
        return run(sequences, self._budget, self.width, self._compute)

    @torch.inference_mode()
    def _compute(self, rows: Sequence[TokenIds], padded: int) -> States:
        filled = [*rows, *([0],) * (self._budget.rows_at(padded) - len(rows))] if self._fills_rows else rows
        embeddings = torch.from_numpy(self._weights.embed(pad(filled, padded)))
        last = torch.tensor([len(ids) - 1 for ids in filled])
        states = self._forward(self._model.place(embeddings), last.to(self.device))
        result: States = states.float().cpu().numpy()[: len(rows)]
        return result


class _Gemma:
    """Merged weights on one device."""

    def __init__(self, weights: GemmaWeights, max_tokens: int, device: torch.device, dtype: torch.dtype) -> None:
        self.shape, self.device, self.dtype = weights.shape, device, dtype
        length = -(-max_tokens // 16) * 16
        self.layers = [self._layer(weights, f"layers.{index}") for index in range(self.shape.layers)]
        self.final_norm = self.place(torch.from_numpy(weights.norm("norm")), torch.float32)
        self.rope = {kind: self._rope(kind, length) for kind in set(self.shape.layer_types)}
        self.masks = {}
        if max_tokens > self.shape.sliding_window:
            mask = attention_mask(length, self.shape.sliding_window)
            self.masks["sliding_attention"] = self.place(torch.from_numpy(mask))

    def place(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return tensor.to(self.device, dtype or self.dtype)

    def forward(self, hidden: Tensor, last: Tensor) -> Tensor:
        """hidden: [rows, length, hidden]; last: [rows]. Returns [rows, hidden] after the final norm."""
        rows = torch.arange(len(last), device=hidden.device)
        for index, kind in enumerate(self.shape.layer_types):
            layer = self.layers[index]
            attended = self._attend(hidden, layer, kind)
            if index == self.shape.layers - 1:
                hidden, attended = hidden[rows, last], attended[rows, last]
            hidden = self._finish(hidden, attended, layer)
        return self._norm(hidden.float(), self.final_norm)

    def _attend(self, hidden: Tensor, layer: dict[str, Tensor], kind: str) -> Tensor:
        shape, (rows, length, _) = self.shape, hidden.shape
        normed = self._norm(hidden, layer["input_layernorm"])
        mixed = F.linear(normed, layer["qkv"]).view(rows, length, -1, shape.head_dim).transpose(1, 2)
        query, key, value = torch.split(mixed, [shape.heads, shape.kv_heads, shape.kv_heads], 1)
        query = self._rotate(self._norm(query, layer["self_attn.q_norm"]), kind)
        key = self._rotate(self._norm(key, layer["self_attn.k_norm"]), kind)
        mask = self.masks.get(kind)
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if mask is None else mask[:length, :length],
            is_causal=mask is None,
            scale=shape.query_scale,
            enable_gqa=shape.heads != shape.kv_heads,
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

    def _rotate(self, states: Tensor, kind: str) -> Tensor:
        cos, sin = (table[: states.shape[-2]] for table in self.rope[kind])
        first, second = states.chunk(2, -1)
        return states * cos + torch.cat((-second, first), -1) * sin

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
