"""The machine's peak: FLOP/s of a large matrix product in one number type, measured now."""

import time

import numpy as np

from models.engines.openvino_runtime import CompiledGraph, GraphSource
from models.processor import NumberType, processor

_SIZE = 2048
_PRODUCTS = 4


class PeakProduct:
    """Chained square products, on OpenVINO and on torch; the faster library counts."""

    def __init__(self, number_type: NumberType) -> None:
        import torch

        dtype = torch.bfloat16 if number_type == "bf16" else torch.float32
        self._matrix = torch.randn(_SIZE, _SIZE).to(dtype)
        self._input = np.random.default_rng(0).normal(size=(_SIZE, _SIZE)).astype(np.float32)
        self._graph = CompiledGraph(GraphSource("peak", self._build), number_type, processor(), None)

    def flops_per_sec(self) -> tuple[float, float]:
        """By wall clock, and by CPU time as if every core were ours alone."""
        best_wall = best_cpu = 0.0
        for run in (self._openvino, self._torch):
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            flops = 2 * _SIZE**3 * _PRODUCTS
            best_wall = max(best_wall, flops / (time.perf_counter() - wall))
            best_cpu = max(best_cpu, processor().cores * flops / (time.process_time() - cpu))
        return best_wall, best_cpu

    def _openvino(self) -> None:
        self._graph({"x": self._input})

    def _torch(self) -> None:
        for _ in range(_PRODUCTS):
            _ = self._matrix @ self._matrix

    def _build(self) -> object:
        from openvino import Model, PartialShape, Type, opset13

        x = opset13.parameter(PartialShape([_SIZE, _SIZE]), Type.f32, name="x")
        x.output(0).get_tensor().set_names({"x"})
        weight = opset13.constant(self._input / np.float32(_SIZE**0.5))
        product = x
        for _ in range(_PRODUCTS):
            product = opset13.matmul(product, weight, False, True)
        return Model([opset13.result(product)], [x], "peak")
