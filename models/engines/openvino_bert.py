"""A BERT encoder as an OpenVINO graph. Output: hidden states [rows, length, hidden]; pooling is numpy's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.engines.bert import BertWeights, inputs, pool
from models.engines.openvino_graph import Nodes, OpenVinoEngine
from models.engines.openvino_runtime import CompiledGraph, GraphSource
from models.engines.protocol import TokenIds
from models.processor import NumberType, Processor

_GRAPH_VERSION = 1
"""Raise when the graph below changes: compiled graphs are cached."""


def openvino_bert(
    weights: BertWeights, processor: Processor, number_type: NumberType | None = None, cache: Path | None = None
) -> OpenVinoEngine:
    """The encoder's CPU engine; without a number type, in the one that the processor computes well."""
    source = GraphSource(f"bert {_GRAPH_VERSION} {weights.fingerprint}", lambda: _GraphBuilder(weights).build())
    graph = CompiledGraph(source, number_type or processor.number_type, processor, cache)

    def feed(rows: Sequence[TokenIds], padded: int) -> dict[str, Any]:
        embeddings, mask = inputs(weights, rows, padded)
        return {"embeddings": embeddings, "mask": mask}

    return OpenVinoEngine(graph, weights.shape.hidden, feed, pool)


class _GraphBuilder(Nodes):
    def __init__(self, weights: BertWeights) -> None:
        super().__init__()
        self.weights, self.shape = weights, weights.shape

    def build(self) -> Any:
        from openvino import Model

        embeddings = self.input("embeddings", [-1, -1, self.shape.hidden])
        self.mask = self.input("mask", [-1, 1, 1, -1])
        hidden = self._norm(embeddings, "embeddings.LayerNorm")
        for layer in range(self.shape.layers):
            hidden = self._layer(hidden, f"encoder.layer.{layer}")
        return Model([self.op.result(hidden)], [embeddings, self.mask], "bert")

    def _layer(self, hidden: Any, name: str) -> Any:
        op = self.op
        attended = self._linear(self._attention(hidden, f"{name}.attention.self"), f"{name}.attention.output.dense")
        hidden = self._norm(op.add(attended, hidden), f"{name}.attention.output.LayerNorm")
        raised = op.gelu(self._linear(hidden, f"{name}.intermediate.dense"), "erf")
        return self._norm(op.add(self._linear(raised, f"{name}.output.dense"), hidden), f"{name}.output.LayerNorm")

    def _attention(self, hidden: Any, name: str) -> Any:
        op, head_dim = self.op, self.shape.hidden // self.shape.heads
        query, key, value = (self._heads(self._linear(hidden, f"{name}.{part}")) for part in ("query", "key", "value"))
        scale = op.constant(np.float32(head_dim**-0.5))
        logits = op.add(op.matmul(op.multiply(query, scale), key, False, True), self.mask)
        mixed = op.matmul(op.softmax(logits, -1), value, False, False)
        return op.reshape(op.transpose(mixed, self.ints(0, 2, 1, 3)), self.ints(0, 0, -1), True)

    def _heads(self, states: Any) -> Any:
        split = self.op.reshape(states, self.ints(0, 0, self.shape.heads, -1), True)
        return self.op.transpose(split, self.ints(0, 2, 1, 3))

    def _linear(self, states: Any, module: str) -> Any:
        product = self.op.matmul(states, self._constant(f"{module}.weight"), False, True)
        return self.op.add(product, self._constant(f"{module}.bias"))

    def _norm(self, states: Any, module: str) -> Any:
        normed = self.op.mvn(states, self.ints(-1), True, self.shape.eps, "inside_sqrt")
        return self.op.add(
            self.op.multiply(normed, self._constant(f"{module}.weight")), self._constant(f"{module}.bias")
        )

    def _constant(self, name: str) -> Any:
        return self.op.constant(self.weights.tensor(name))
