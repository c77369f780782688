"""What an engine is, and the sizes of the two architectures that engines run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import StillhouseError

States = NDArray[np.float32]
TokenIds = Sequence[int]


class EngineError(StillhouseError):
    """An engine cannot run here, or cannot run this model."""


class Engine(Protocol):
    """Token ids to one state per sequence. A sequence's bytes do not depend on the others in the call."""

    @property
    def name(self) -> str:
        """Library and number type, for example `openvino-bf16`: travels in the scored record's headers."""

    @property
    def width(self) -> int:
        """Length of a state."""

    def states(self, sequences: Sequence[TokenIds]) -> States:
        """[n, width] float32 in the order of `sequences`; none may be empty."""


@dataclass(frozen=True, slots=True)
class GemmaShape:
    """Sizes of a Gemma 3 text model, from its config.json."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    query_scale: float
    eps: float
    sliding_window: int
    rope_theta: dict[str, float]
    layer_types: tuple[str, ...]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "GemmaShape":
        if config.get("model_type") != "gemma3_text":
            raise EngineError(
                f"Base model of type {config.get('model_type')!r}, the scorer runs gemma3_text.",
                action="Set STILLHOUSE_BASE_MODEL to a Gemma 3 text model, for example google/gemma-3-270m.",
            )
        rope = config["rope_parameters"]
        return cls(
            hidden=config["hidden_size"],
            intermediate=config["intermediate_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            head_dim=config["head_dim"],
            query_scale=config["query_pre_attn_scalar"] ** -0.5,
            eps=config["rms_norm_eps"],
            sliding_window=config["sliding_window"],
            rope_theta={kind: float(values["rope_theta"]) for kind, values in rope.items()},
            layer_types=tuple(config["layer_types"]),
        )

    def flops(self, tokens: int) -> float:
        """Multiplications and additions of one sequence's pass: projections, and causal attention at half."""
        query = self.heads * self.head_dim
        key_value = 2 * self.kv_heads * self.head_dim
        per_token = 2 * self.hidden * (2 * query + key_value + 3 * self.intermediate)
        attention = 2 * query * tokens * tokens
        last = 2 * self.hidden * key_value * tokens
        return (self.layers - 1) * (per_token * tokens + attention) + last


@dataclass(frozen=True, slots=True)
class BertShape:
    """Sizes of a BERT encoder, from its config.json."""

    hidden: int
    layers: int
    heads: int
    eps: float
    max_tokens: int

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BertShape":
        if config.get("model_type") != "bert":
            raise EngineError(
                f"Encoder of type {config.get('model_type')!r}, the encoder engine runs bert.",
                action="Set STILLHOUSE_ENCODER_MODEL to intfloat/multilingual-e5-small, or unset it.",
            )
        return cls(
            hidden=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            eps=config["layer_norm_eps"],
            max_tokens=config["max_position_embeddings"],
        )
