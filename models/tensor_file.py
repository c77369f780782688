"""Memory-mapped safetensors for numpy, bf16 included (safetensors.numpy does not know it)."""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import StillhouseError

Matrix = NDArray[np.float32]
Bf16 = NDArray[np.uint16]
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class TensorFileError(StillhouseError):
    """A weights file is missing, damaged or of a kind that is not read here."""


def to_bf16(values: Matrix) -> Bf16:
    """The bits of bf16, rounded to nearest even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16).astype(np.uint16)


def from_bf16(bits: Bf16) -> Matrix:
    return (bits.astype(np.uint32) << 16).view(np.float32)


class TensorFile:
    """Tensors by name. Pages are read when touched: an embedding table costs the rows that are looked up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._bytes = np.memmap(path, np.uint8, "r")
            size = int(self._bytes[:8].view("<u8")[0])
            self._header: dict[str, Any] = json.loads(bytes(self._bytes[8 : 8 + size]))
        except (OSError, ValueError, IndexError) as error:
            raise TensorFileError(
                f"{path}: not a safetensors file ({error}).", action="Restore the file from its source."
            ) from error
        self._start = 8 + size
        self._header.pop("__metadata__", None)

    def __contains__(self, name: str) -> bool:
        return name in self._header

    def __iter__(self) -> Iterator[str]:
        return iter(self._header)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._entry(name)["shape"])

    def stored(self, name: str) -> NDArray[Any]:
        """A view in the stored type; bf16 comes as uint16."""
        entry = self._entry(name)
        begin, end = (self._start + offset for offset in entry["data_offsets"])
        if entry["dtype"] not in _DTYPES:
            raise TensorFileError(f"{self.path}: {name} is {entry['dtype']}.", action="Use F32, F16 or BF16 weights.")
        return self._bytes[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])

    def f32(self, name: str) -> Matrix:
        stored = self.stored(name)
        return from_bf16(stored) if stored.dtype == np.uint16 else stored.astype(np.float32)

    def rows(self, name: str, indices: NDArray[np.int64]) -> Matrix:
        """Rows of a table as float32, [*indices.shape, width]."""
        picked = self.stored(name)[indices]
        return from_bf16(picked) if picked.dtype == np.uint16 else picked.astype(np.float32)

    def _entry(self, name: str) -> Any:
        try:
            return self._header[name]
        except KeyError:
            raise TensorFileError(
                f"{self.path}: has no tensor {name}.", action="These are weights of another architecture."
            ) from None


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write float32 arrays as F32 and uint16 arrays as BF16; names sorted, so that equal tensors give equal files."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in sorted(tensors):
        array = tensors[name]
        dtype = {"<u2": "BF16", "<f4": "F32"}[array.dtype.newbyteorder("<").str]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(encoded)) + encoded)
        for name in sorted(tensors):
            stream.write(np.ascontiguousarray(tensors[name]).data)
