"""Small heads over vectors, in numpy: filter heads, probes and the commerce head.

Every product is matrix times vector, one article at a time: matrix times matrix rounds differently with the batch's
shape, and a record must not depend on its neighbours.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from core.cascade import ProbeOutput
from core.commerce import probability
from core.errors import PackageError

Vector = NDArray[np.float32]
Matrix = NDArray[np.float32]
_NAMES = ("center", "scale", "skip", "bias", "hidden", "hidden_bias", "out")
_JOINED = ("skip", "bias", "hidden", "hidden_bias")


@dataclass(frozen=True)
class Perceptron:
    """y = skip z + out relu(hidden z + hidden_bias) + bias, with z = (x - center) / scale.

    center, scale: [inputs]. skip: [outputs, inputs]. hidden: [units, inputs]; no units make it linear.
    out: [outputs, units].
    """

    center: Vector
    scale: Vector
    skip: Matrix
    bias: Vector
    hidden: Matrix
    hidden_bias: Vector
    out: Matrix

    @property
    def inputs(self) -> int:
        return len(self.center)

    @property
    def outputs(self) -> int:
        return len(self.bias)

    def __call__(self, x: Vector) -> Vector:
        """Args: x: [inputs] float32. Returns: [outputs] float32."""
        z = (x - self.center) / self.scale
        y: Vector = self.skip @ z + self.bias
        if len(self.hidden_bias):
            y += self.out @ np.maximum(self.hidden @ z + self.hidden_bias, np.float32(0))
        return y

    def folded(self) -> "Perceptron":
        """The same function with centre and scale within its weights."""
        center, scale = self.center.astype(np.float64), self.scale.astype(np.float64)
        skip, hidden = self.skip / scale, self.hidden / scale
        return Perceptron(
            center=np.zeros_like(self.center),
            scale=np.ones_like(self.scale),
            skip=skip.astype(np.float32),
            bias=(self.bias - skip @ center).astype(np.float32),
            hidden=hidden.astype(np.float32),
            hidden_bias=(self.hidden_bias - hidden @ center).astype(np.float32),
            out=self.out,
        )

    def rows(self, x: Matrix) -> Matrix:
        """[n, outputs] of [n, inputs], each row as if it came alone."""
        return np.stack([self(row) for row in x]) if len(x) else np.zeros((0, self.outputs), dtype=np.float32)

    def rescaled(self, scale: Vector, shift: Vector) -> "Perceptron":
        """The head whose outputs are scale * y + shift. Args: scale, shift: [outputs]."""
        return replace(
            self,
            skip=self.skip * scale[:, None],
            bias=self.bias * scale + shift,
            out=self.out * scale[:, None],
        )

    def save(self, path: Path) -> None:
        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in _NAMES}, path)

    @classmethod
    def load(cls, path: Path) -> "Perceptron":
        """Raises: PackageError: the file is missing, damaged or of another shape."""
        try:
            tensors = load_file(path)
            head = cls(**{name: tensors[name].astype(np.float32, copy=False) for name in _NAMES})
        except (OSError, SafetensorError, KeyError) as error:
            raise PackageError(f"{path}: {error!r}.", action="Restore the package from its source.") from error
        head.check(path)
        return head

    def check(self, path: Path) -> None:
        units, inputs, outputs = len(self.hidden_bias), self.inputs, self.outputs
        expected = {
            "scale": (inputs,),
            "skip": (outputs, inputs),
            "hidden": (units, inputs),
            "out": (outputs, units),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise PackageError(
                    f"{path}: {name} has shape {getattr(self, name).shape}, expected {shape}.",
                    action="Restore the package from its source.",
                )
        if not all(np.isfinite(getattr(self, name)).all() for name in _NAMES):
            raise PackageError(f"{path}: contains values that are not finite.", action="Do not use this package.")


def load_head(path: Path, inputs: int, outputs: int) -> Perceptron:
    """A perceptron of the expected sizes; the error names the file."""
    head = Perceptron.load(path)
    if (head.inputs, head.outputs) != (inputs, outputs):
        raise PackageError(
            f"{path}: maps {head.inputs} inputs to {head.outputs} outputs, expected {inputs} to {outputs}.",
            action="The head belongs to another trunk, encoder or config.yaml: release the package again.",
        )
    return head


class HeadStack:
    """Several heads that read the same input, as one: seven products of a few rows cost seven times their overhead."""

    def __init__(self, heads: Mapping[str, Perceptron]) -> None:
        parts = [head.folded() for head in heads.values()]
        ends = np.cumsum([0, *(part.outputs for part in parts)]).tolist()
        self._slices = {name: slice(*ends[place : place + 2]) for place, name in enumerate(heads)}
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _JOINED}
        self._head = replace(parts[0], **joined, out=_diagonal([part.out for part in parts]))

    def __call__(self, x: Vector) -> dict[str, Vector]:
        """Output of every head by name."""
        y = self._head(x)
        return {name: y[place] for name, place in self._slices.items()}


def _diagonal(blocks: Sequence[Matrix]) -> Matrix:
    rows, columns = (np.cumsum([0, *(block.shape[axis] for block in blocks)]) for axis in (0, 1))
    joined = np.zeros((rows[-1], columns[-1]), dtype=np.float32)
    for place, block in enumerate(blocks):
        joined[rows[place] : rows[place + 1], columns[place] : columns[place + 1]] = block
    return joined


@dataclass(frozen=True)
class HeadProbes:
    """Every filter's probe and the commerce head over one embedding (core.cascade.Probes).

    A probe gives one output per dimension, and last the gate's logit.
    """

    commerce_head: Perceptron
    probes: Mapping[str, Perceptron]

    def commerce(self, embedding: Vector) -> float:
        """Probability that the article sells rather than reports, rounded to 3 decimals."""
        return probability(float(self.commerce_head(embedding)[0]))

    def predict(self, embedding: Vector) -> Mapping[str, ProbeOutput]:
        return {name: ProbeOutput(sigmoid(float(y[-1])), y[:-1]) for name, y in self._stack(embedding).items()}

    @cached_property
    def _stack(self) -> HeadStack:
        return HeadStack(self.probes)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))
