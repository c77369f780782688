"""What the OpenVINO engines share: a compiled graph that is fed in batches, and the nodes that every graph needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.engines.batching import TokenBudget, run
from models.engines.openvino_runtime import CompiledGraph
from models.engines.protocol import States, TokenIds


@dataclass(frozen=True)
class OpenVinoEngine:
    """The CPU engine of one model (models.engines.protocol.Engine).

    feed: rows and their padded length to the graph's inputs. read: its output and the rows to one state each.
    """

    graph: CompiledGraph
    width: int
    feed: Callable[[Sequence[TokenIds], int], Mapping[str, Any]]
    read: Callable[[States, Sequence[TokenIds]], States]

    @property
    def name(self) -> str:
        return f"openvino-{self.graph.number_type}"

    def states(self, sequences: Sequence[TokenIds]) -> States:
        return run(sequences, TokenBudget(), self.width, self._compute)

    def _compute(self, rows: Sequence[TokenIds], padded: int) -> States:
        return self.read(self.graph(self.feed(rows, padded)), rows)


class Nodes:
    """Builds nodes of one graph."""

    def __init__(self) -> None:
        from openvino import opset13

        self.op: Any = opset13

    def input(self, name: str, dims: list[int], kind: Any = None) -> Any:
        from openvino import PartialShape, Type

        node = self.op.parameter(PartialShape(dims), kind or Type.f32, name=name)
        node.output(0).get_tensor().set_names({name})
        return node

    def const(self, value: float) -> Any:
        return self.op.constant(np.float32(value))

    def index(self, value: int) -> Any:
        return self.op.constant(np.int64(value))

    def ints(self, *values: int) -> Any:
        return self.op.constant(np.array(values, dtype=np.int64))
