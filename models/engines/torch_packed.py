"""Gemma 3 on CUDA: sequences of all lengths one after another in passes of one size, without padding to a neighbour.

Every pass has the same number of tokens, filled up with a sequence that nobody reads. So torch compiles one shape, and
what a sequence's products round to does not depend on how full the pass is. A block mask keeps attention within each
sequence, and lets the kernel skip what it hides.

Not measured: no GPU was at hand when this was written. The tests run it on the CPU, uncompiled and in fp32, and hold it
equal to the other engines. One process serves one GPU: `CUDA_VISIBLE_DEVICES=1 stillhouse run --stage score`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from models.engines.batching import halving, pack, padded_length
from models.engines.gemma import GemmaWeights
from models.engines.protocol import EngineError, States, TokenIds
from models.engines.torch_gemma import DTYPES, GemmaModel, Mask, Rope
from models.processor import NumberType

PASS_TOKENS = 8192
_FILLER = -1
"""Number of the sequence that fills a pass up."""


@dataclass(frozen=True)
class Layout:
    """Where the sequences of a pass lie. ids, document, position: [tokens]; last: [rows]."""

    ids: NDArray[np.int64]
    document: NDArray[np.int32]
    position: NDArray[np.int64]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[TokenIds], tokens: int) -> "Layout":
        """Each sequence begins at a multiple of the quantum, and so do its attention's blocks."""
        lengths = [padded_length(len(ids)) for ids in rows]
        starts = np.cumsum([0, *lengths])
        found = cls(
            np.zeros(tokens, np.int64),
            np.full(tokens, _FILLER, np.int32),
            np.zeros(tokens, np.int64),
            starts[:-1] + [len(ids) - 1 for ids in rows],
        )
        for number, (start, length, ids) in enumerate(zip(starts, lengths, rows, strict=False)):
            found.ids[start : start + len(ids)] = ids
            found.document[start : start + length] = number
            found.position[start : start + length] = np.arange(length)
        return found


class PackedGemma:
    """The scorer's engine for one GPU."""

    def __init__(
        self,
        weights: GemmaWeights,
        max_tokens: int,
        number_type: NumberType = "bf16",
        device: str = "cuda",
        pass_tokens: int = PASS_TOKENS,
    ) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineError("No CUDA device.", action="Set STILLHOUSE_ENGINE to openvino or torch.")
        self.number_type, self.width = number_type, weights.shape.hidden
        self._weights, self._device = weights, torch.device(device)
        self._tokens = max(pass_tokens, padded_length(max_tokens))
        self._windows = {"full_attention": None, "sliding_attention": weights.shape.sliding_window}
        self._model = GemmaModel(weights, max_tokens, self._device, DTYPES[number_type])
        compiled = self._device.type == "cuda"  # on a CPU it takes minutes for nothing
        self._forward: Any = torch.compile(self._model.forward, dynamic=False) if compiled else self._model.forward

    @property
    def name(self) -> str:
        return f"torch-{self._device.type}-{self.number_type}"

    def states(self, sequences: Sequence[TokenIds]) -> States:
        states = np.empty((len(sequences), self.width), dtype=np.float32)
        for places in pack([len(ids) for ids in sequences], self._tokens):
            states[list(places)] = halving([sequences[place] for place in places], self._tokens, self._compute)
        return states

    @torch.inference_mode()
    def _compute(self, rows: Sequence[TokenIds], tokens: int) -> States:
        layout = Layout.of(rows, tokens)
        embeddings = self._model.place(torch.from_numpy(self._weights.embed(layout.ids[None])))
        position, document = (torch.from_numpy(part).to(self._device) for part in (layout.position, layout.document))
        rope: Rope = {kind: (cos[position], sin[position]) for kind, (cos, sin) in self._model.rope.items()}
        masks: dict[str, Mask] = {kind: _within(document, window) for kind, window in self._windows.items()}
        # All places of `last` that a pass can have, so that their number does not vary either.
        last = np.zeros(tokens // padded_length(1), dtype=np.int64)
        last[: len(rows)] = layout.last
        picked = torch.from_numpy(last).to(self._device)
        states = self._forward(embeddings, (torch.zeros_like(picked), picked), rope, masks)
        result: States = states.cpu().numpy()[: len(rows)]
        return result


def _within(document: Tensor, window: int | None) -> BlockMask:
    """Causal, within a sequence, and within `window` tokens where the layer slides."""

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = (document[query] == document[key]) & (query >= key)
        return seen if window is None else seen & (query - key < window)

    length = len(document)
    return create_block_mask(sees, None, None, length, length, device=document.device.type)
