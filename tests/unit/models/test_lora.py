import json

import numpy as np
import pytest

from core.errors import PackageError
from models.lora import load_lora
from models.tensor_file import write_tensors
from tests.support.tiny_models import write_adapter

MODULE = "layers.0.mlp.up_proj"


@pytest.mark.parametrize("suffix", [".weight", ".default.weight"], ids=["old-keys", "new-keys"])
def test_merging_adds_the_scaled_product(tmp_path, suffix):
    lora = load_lora(write_adapter(tmp_path / "adapter", suffix=suffix))
    a, b = lora.updates[MODULE]
    weight = np.ones((b.shape[0], a.shape[1]), dtype=np.float32)
    assert np.allclose(lora.merge(MODULE, weight), weight + 2.0 * b @ a)
    assert lora.merge("layers.9.other", weight) is weight


def test_rank_stabilised_lora_scales_by_the_root(tmp_path):
    folder = write_adapter(tmp_path / "adapter", rank=4)
    _configure(folder, use_rslora=True)
    assert load_lora(folder).scale == 8 / 2


def test_a_score_layer_is_read(tmp_path):
    assert load_lora(write_adapter(tmp_path / "adapter", outputs=3)).score.shape == (3, 64)


@pytest.mark.parametrize(
    "change", [{"use_dora": True}, {"peft_type": "IA3"}, {"bias": "all"}, {"rank_pattern": {"q_proj": 8}}], ids=str
)
def test_an_adapter_that_cannot_be_merged_exactly_is_refused(tmp_path, change):
    folder = write_adapter(tmp_path / "adapter")
    _configure(folder, **change)
    with pytest.raises(PackageError, match=r"adapter_config\.json"):
        load_lora(folder)


def test_an_adapter_of_another_base_says_so(tmp_path):
    lora = load_lora(write_adapter(tmp_path / "adapter"))
    with pytest.raises(PackageError, match="another base model"):
        lora.merge(MODULE, np.zeros((7, 7), dtype=np.float32))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"base_model.model.model.layers.0.q_proj.lora_A.weight": (2, 3)}, "lacks its A or B"),
        ({"base_model.model.model.embed_tokens.weight": (2, 3)}, "unknown tensor"),
    ],
    ids=["half-a-pair", "unknown-tensor"],
)
def test_odd_tensors_are_named(tmp_path, tensors, message):
    folder = write_adapter(tmp_path / "adapter")
    write_tensors(folder / "adapter_model.safetensors", {k: np.zeros(s, dtype=np.float32) for k, s in tensors.items()})
    with pytest.raises(PackageError, match=message):
        load_lora(folder)


def _configure(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
