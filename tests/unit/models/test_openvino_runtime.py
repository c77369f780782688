"""Compiled graphs on disk: written once, mapped from then on, compiled again where they are damaged."""

import gc
from pathlib import Path

import numpy as np
import pytest

from models.engines.openvino_runtime import CompiledGraph, GraphSource
from models.processor import Processor

openvino = pytest.importorskip("openvino")
PROCESSOR = Processor("test", cores=1, bf16=False)
ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
FACTORS = np.full((4, 4), 0.5, dtype=np.float32)


class Builder:
    """Counts how often the graph had to be built."""

    def __init__(self) -> None:
        self.built = 0

    def __call__(self):
        from openvino import Model, Type
        from openvino import opset15 as op

        self.built += 1
        rows = op.parameter([-1, 4], Type.f32, name="rows")
        return Model([op.result(op.matmul(rows, op.constant(FACTORS), False, False))], [rows], "test")


def graph(build: Builder, cache: Path | None) -> CompiledGraph:
    return CompiledGraph(GraphSource("fingerprint", build), "f32", PROCESSOR, cache)


def test_the_second_start_maps_what_the_first_one_compiled(tmp_path: Path):
    build = Builder()
    first = graph(build, tmp_path)({"rows": ROWS})
    second = graph(build, tmp_path)
    gc.collect()  # the mapping must outlive the loading
    assert np.array_equal(second({"rows": ROWS}), first)
    assert np.array_equal(first, ROWS @ FACTORS)
    assert build.built == 1


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 4096], ids=["empty", "short", "garbage"])
def test_a_damaged_file_is_compiled_again(tmp_path: Path, damage: bytes):
    build = Builder()
    graph(build, tmp_path)
    (file,) = tmp_path.glob("*.blob")
    file.write_bytes(damage)
    assert np.array_equal(graph(build, tmp_path)({"rows": ROWS}), ROWS @ FACTORS)
    assert build.built == 2
    assert file.read_bytes() != damage


def test_a_file_that_goes_while_it_is_used_does_no_harm(tmp_path: Path):
    build = Builder()
    graph(build, tmp_path)
    mapped = graph(build, tmp_path)
    for file in tmp_path.glob("*.blob"):
        file.unlink()
    assert np.array_equal(mapped({"rows": ROWS}), ROWS @ FACTORS)
