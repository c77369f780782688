import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tensor_file import TensorFile, TensorFileError, from_bf16, to_bf16, write_tensors


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=64))
def test_bf16_rounds_as_torch_does(values):
    import torch

    array = np.array(values, dtype=np.float32)
    expected = torch.from_numpy(array).to(torch.bfloat16).float().numpy()
    assert np.array_equal(from_bf16(to_bf16(array)), expected)


def test_files_are_read_back_and_by_safetensors(tmp_path):
    from safetensors.torch import load_file

    path = tmp_path / "w.safetensors"
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_tensors(path, {"b": to_bf16(values), "a": values})
    file = TensorFile(path)
    assert list(file) == ["a", "b"]
    assert np.array_equal(file.f32("a"), values)
    assert np.array_equal(file.rows("b", np.array([2, 0])), values[[2, 0]])
    loaded = load_file(path)
    assert np.array_equal(loaded["b"].float().numpy(), values)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64], ids=["empty", "short", "garbage"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(TensorFileError, match=r"w\.safetensors"):
        TensorFile(path)


def test_a_missing_tensor_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    write_tensors(path, {"a": np.zeros(1, dtype=np.float32)})
    with pytest.raises(TensorFileError, match="has no tensor b"):
        TensorFile(path).f32("b")
