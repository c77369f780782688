"""Gemma 3 as an OpenVINO graph, written directly: no torch, no tracing, 1 s from weights to a compiled graph.

Inputs: embeddings [rows, length, hidden], `last` [rows] (place of each row's last token), RoPE tables and masks for
that length. Output: state after the final norm of each row's last token, [rows, hidden]. The last layer computes
queries, output projection and MLP for that token alone.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from models.engines.batching import pad
from models.engines.gemma import GemmaWeights, attention_mask, rope_tables
from models.engines.openvino_graph import Nodes, OpenVinoEngine
from models.engines.openvino_runtime import CompiledGraph, GraphSource
from models.engines.protocol import TokenIds
from models.processor import NumberType, Processor

_GRAPH_VERSION = 1
"""Raise when the graph below changes: compiled graphs are cached."""


def openvino_gemma(
    weights: GemmaWeights,
    max_tokens: int,
    processor: Processor,
    number_type: NumberType | None = None,
    cache: Path | None = None,
) -> OpenVinoEngine:
    """The scorer's CPU engine; without a number type, in the one that the processor computes well."""
    tables = _PositionTables(weights, max_tokens)
    fingerprint = f"gemma {_GRAPH_VERSION} {weights.fingerprint} {tables.slides}"
    source = GraphSource(fingerprint, lambda: _GraphBuilder(weights, tables.slides).build())
    graph = CompiledGraph(source, number_type or processor.number_type, processor, cache)

    def feed(rows: Sequence[TokenIds], padded: int) -> dict[str, Any]:
        last = np.array([len(ids) - 1 for ids in rows], dtype=np.int32)
        return {"embeddings": weights.embed(pad(rows, padded)), "last": last, **tables.at(padded)}

    return OpenVinoEngine(graph, weights.shape.hidden, feed, lambda output, _rows: output[:, 0])


class _PositionTables:
    """RoPE tables and masks, cut to a batch's length."""

    def __init__(self, weights: GemmaWeights, max_tokens: int) -> None:
        self._shape, self._length = weights.shape, -(-max_tokens // 16) * 16
        self.slides = max_tokens > weights.shape.sliding_window

    def at(self, length: int) -> dict[str, Any]:
        cut = {name: np.ascontiguousarray(table[:length]) for name, table in self._rope.items()}
        return cut | {name: np.ascontiguousarray(mask[:length, :length]) for name, mask in self._masks.items()}

    @cached_property
    def _rope(self) -> dict[str, Any]:
        tables: dict[str, Any] = {}
        for kind in sorted(set(self._shape.layer_types)):
            cos, sin = rope_tables(self._length, self._shape.rope_theta[kind], self._shape.head_dim)
            tables |= {f"cos_{kind}": cos, f"sin_{kind}": sin}
        return tables

    @cached_property
    def _masks(self) -> dict[str, Any]:
        masks = {"mask_full_attention": attention_mask(self._length, None)}
        if self.slides:
            masks["mask_sliding_attention"] = attention_mask(self._length, self._shape.sliding_window)
        return masks


class _GraphBuilder(Nodes):
    """Nodes of one graph. `slides`: sequences may be longer than the sliding window, which then needs its own mask."""

    def __init__(self, weights: GemmaWeights, slides: bool) -> None:
        super().__init__()
        self.weights, self.shape, self.slides = weights, weights.shape, slides

    def build(self) -> Any:
        from openvino import Model, Type

        shape = self.shape
        self.last = self.input("last", [-1], Type.i32)
        embeddings = self.input("embeddings", [-1, -1, shape.hidden])
        inputs = [embeddings, self.last]
        self.rope, self.masks = {}, {}
        for kind in sorted(set(shape.layer_types)):
            self.rope[kind] = [self.input(f"{f}_{kind}", [-1, shape.head_dim]) for f in ("cos", "sin")]
            inputs += self.rope[kind]
        for kind in ("full_attention", "sliding_attention")[: 1 + self.slides]:
            self.masks[kind] = self.input(f"mask_{kind}", [-1, -1])
            inputs.append(self.masks[kind])
        hidden: Any = embeddings
        for layer in range(shape.layers):
            hidden = self._layer(hidden, layer)
        return Model([self.op.result(self._norm(hidden, "norm"))], inputs, "gemma")

    def _layer(self, hidden: Any, index: int) -> Any:
        """The last layer goes on with each row's last token alone, [rows, 1, hidden]."""
        op, name = self.op, f"layers.{index}"
        ends = index == self.shape.layers - 1
        normed = self._norm(hidden, f"{name}.input_layernorm")
        attended = self._attention(normed, name, self.shape.layer_types[index], ends)
        if ends:
            hidden = self._pick_last(hidden, axis=1)
        hidden = op.add(hidden, self._norm(attended, f"{name}.post_attention_layernorm"))
        normed = self._norm(hidden, f"{name}.pre_feedforward_layernorm")
        gate = op.gelu(self._linear(normed, f"{name}.mlp.gate_proj"), "tanh")
        raised = op.multiply(gate, self._linear(normed, f"{name}.mlp.up_proj"))
        lowered = self._linear(raised, f"{name}.mlp.down_proj")
        return op.add(hidden, self._norm(lowered, f"{name}.post_feedforward_layernorm"))

    def _attention(self, normed: Any, layer: str, kind: str, ends: bool) -> Any:
        op, shape, name = self.op, self.shape, f"{layer}.self_attn"
        cos, sin = self.rope[kind]
        mask = self.masks.get(kind, self.masks["full_attention"])
        query_cos, query_sin, query_in = cos, sin, normed
        if ends:
            # [rows, 1, 1, ...]: the one query of each row stands at its own place.
            query_in = self._pick_last(normed, axis=1)
            query_cos, query_sin, mask = (self._rows_at_last(table) for table in (cos, sin, mask))
        query = self._heads(self._linear(query_in, f"{name}.q_proj"), shape.heads)
        query = self._rotate(self._norm(query, f"{name}.q_norm"), query_cos, query_sin)
        key = self._heads(self._linear(normed, f"{name}.k_proj"), shape.kv_heads)
        key = self._rotate(self._norm(key, f"{name}.k_norm"), cos, sin)
        value = self._heads(self._linear(normed, f"{name}.v_proj"), shape.kv_heads)
        key, value = self._share(key), self._share(value)
        logits = op.matmul(op.multiply(query, self.const(shape.query_scale)), key, False, True)
        mixed = op.matmul(op.softmax(op.add(logits, mask), -1), value, False, False)
        merged = op.reshape(op.transpose(mixed, self.ints(0, 2, 1, 3)), self.ints(0, 0, -1), True)
        return self._linear(merged, f"{name}.o_proj")

    def _share(self, states: Any) -> Any:
        """Give each query head its key-value head. One alone is shared by broadcasting, for nothing."""
        groups = self.shape.heads // self.shape.kv_heads
        if self.shape.kv_heads == 1 or groups == 1:
            return states
        places = np.repeat(np.arange(self.shape.kv_heads), groups)
        return self.op.gather(states, self.op.constant(places), self.index(1))

    def _rotate(self, states: Any, cos: Any, sin: Any) -> Any:
        op = self.op
        first, second = op.split(states, self.index(-1), 2).outputs()
        turned = op.concat([op.multiply(second, self.const(-1.0)), first], -1)
        return op.add(op.multiply(states, cos), op.multiply(turned, sin))

    def _norm(self, states: Any, module: str) -> Any:
        op = self.op
        mean = op.reduce_mean(op.power(states, self.const(2.0)), self.ints(-1), keep_dims=True)
        scaled = op.multiply(states, op.divide(self.const(1.0), op.sqrt(op.add(mean, self.const(self.shape.eps)))))
        return op.multiply(scaled, self.op.constant(self.weights.norm(module)))

    def _linear(self, states: Any, module: str) -> Any:
        return self.op.matmul(states, self.op.constant(self.weights.matrix(module)), False, True)

    def _heads(self, states: Any, count: int) -> Any:
        split = self.op.reshape(states, self.ints(0, 0, count, self.shape.head_dim), True)
        return self.op.transpose(split, self.ints(0, 2, 1, 3))

    def _pick_last(self, states: Any, axis: int) -> Any:
        """[rows, length, n] -> [rows, 1, n]."""
        places = self.op.unsqueeze(self.last, self.ints(1))
        return self.op.gather(states, places, self.index(axis), batch_dims=1)

    def _rows_at_last(self, table: Any) -> Any:
        """[length, n] -> [rows, 1, 1, n]."""
        return self.op.unsqueeze(self.op.gather(table, self.last, self.index(0)), self.ints(1, 2))
