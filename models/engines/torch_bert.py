"""A BERT encoder in plain torch, for CPUs that OpenVINO does not know and for CUDA."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from models.engines.batching import TokenBudget, run
from models.engines.bert import BertWeights, inputs, pool
from models.engines.protocol import States, TokenIds


class TorchBert:
    """The encoder on torch, in float32: one row a pass, as torch rounds a row by its neighbours."""

    def __init__(self, weights: BertWeights, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self._weights, self._shape, self._budget = weights, weights.shape, TokenBudget(tokens=1, rows=1)
        self._tensors: dict[str, Tensor] = {}

    @property
    def name(self) -> str:
        return f"torch-{self.device.type}-f32"

    @property
    def width(self) -> int:
        return self._shape.hidden

    def states(self, sequences: Sequence[TokenIds]) -> States:
        return run(sequences, self._budget, self.width, self._compute)

    @torch.inference_mode()
    def _compute(self, rows: Sequence[TokenIds], padded: int) -> States:
        embeddings, mask = (torch.from_numpy(part).to(self.device) for part in inputs(self._weights, rows, padded))
        hidden = self._norm(embeddings, "embeddings.LayerNorm")
        for layer in range(self._shape.layers):
            hidden = self._layer(hidden, mask, f"encoder.layer.{layer}")
        return pool(hidden.cpu().numpy(), rows)

    def _layer(self, hidden: Tensor, mask: Tensor, name: str) -> Tensor:
        parts = [self._linear(hidden, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
        query, key, value = (torch.unflatten(part, -1, (self._shape.heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        attended = self._linear(mixed, f"{name}.attention.output.dense")
        hidden = self._norm(attended + hidden, f"{name}.attention.output.LayerNorm")
        raised = F.gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        return self._norm(self._linear(raised, f"{name}.output.dense") + hidden, f"{name}.output.LayerNorm")

    def _linear(self, states: Tensor, module: str) -> Tensor:
        return F.linear(states, self._tensor(f"{module}.weight"), self._tensor(f"{module}.bias"))

    def _norm(self, states: Tensor, module: str) -> Tensor:
        weight, bias = self._tensor(f"{module}.weight"), self._tensor(f"{module}.bias")
        return F.layer_norm(states, (self._shape.hidden,), weight, bias, self._shape.eps)

    def _tensor(self, name: str) -> Tensor:
        if name not in self._tensors:
            self._tensors[name] = torch.from_numpy(self._weights.tensor(name).copy()).to(self.device)
        return self._tensors[name]
