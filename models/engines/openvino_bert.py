"""A BERT encoder as an OpenVINO graph. Output: hidden states [rows, length, hidden]; pooling is numpy's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.engines.batching import TokenBudget, run
from models.engines.bert import BertWeights, inputs, pool
from models.engines.openvino_runtime import CompiledGraph, GraphSource
from models.engines.protocol import States, TokenIds
from models.processor import NumberType, Processor

_GRAPH_VERSION = 1
"""Raise when the graph below changes: compiled graphs are cached."""


class OpenVinoBert:
    """The encoder's CPU engine."""

    def __init__(
        self,
        weights: BertWeights,
        processor: Processor,
        number_type: NumberType | None = None,
        cache: Path | None = None,
    ) -> None:
        self._weights, self._budget = weights, TokenBudget()
        source = GraphSource(f"bert {_GRAPH_VERSION} {weights.fingerprint}", _GraphBuilder(weights).build)
        self._graph = CompiledGraph(source, number_type or processor.number_type, processor, cache)

    @property
    def name(self) -> str:
        return f"openvino-{self._graph.number_type}"

    @property
    def width(self) -> int:
        return self._weights.shape.hidden

    def states(self, sequences: Sequence[TokenIds]) -> States:
        return run(sequences, self._budget, self.width, self._compute)

    def _compute(self, rows: Sequence[TokenIds], padded: int) -> States:
        embeddings, mask = inputs(self._weights, rows, padded)
        return pool(self._graph({"embeddings": embeddings, "mask": mask}), rows)


class _GraphBuilder:
    def __init__(self, weights: BertWeights) -> None:
        from openvino import opset13

        self.op: Any = opset13
        self.weights, self.shape = weights, weights.shape

    def build(self) -> Any:
        from openvino import Model

        embeddings = self._input("embeddings", [-1, -1, self.shape.hidden])
        self.mask = self._input("mask", [-1, 1, 1, -1])
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
        return op.reshape(op.transpose(mixed, self._ints(0, 2, 1, 3)), self._ints(0, 0, -1), True)

    def _heads(self, states: Any) -> Any:
        split = self.op.reshape(states, self._ints(0, 0, self.shape.heads, -1), True)
        return self.op.transpose(split, self._ints(0, 2, 1, 3))

    def _linear(self, states: Any, module: str) -> Any:
        product = self.op.matmul(states, self._constant(f"{module}.weight"), False, True)
        return self.op.add(product, self._constant(f"{module}.bias"))

    def _norm(self, states: Any, module: str) -> Any:
        normed = self.op.mvn(states, self._ints(-1), True, self.shape.eps, "inside_sqrt")
        return self.op.add(
            self.op.multiply(normed, self._constant(f"{module}.weight")), self._constant(f"{module}.bias")
        )

    def _constant(self, name: str) -> Any:
        return self.op.constant(self.weights.tensor(name))

    def _input(self, name: str, dims: list[int]) -> Any:
        from openvino import PartialShape, Type

        node = self.op.parameter(PartialShape(dims), Type.f32, name=name)
        node.output(0).get_tensor().set_names({name})
        return node

    def _ints(self, *values: int) -> Any:
        return self.op.constant(np.array(values, dtype=np.int64))
