"""The real conversions, from the packages that are installed."""

import json

import numpy as np
import pytest

from core.settings import load_settings
from models.tensor_file import TensorFile
from models.weights import base_model, encoder_model

GEMMA_SHA256 = "d9df495ac8121f17441f73a45548b59cd75068fbd5e57ed0883c9e4a443fe908"
E5_SHA256 = "8520eedb7ea5147f2345d7535bda10480394cca9f4451e415bf76a00d7eb8071"
"""Of model.safetensors: packages name their base weights by these hashes, so a conversion may never change them."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return load_settings(home=tmp_path_factory.mktemp("home"), base_model=None, encoder_model=None)


def test_gemma_is_what_the_packages_were_trained_on(tmp_path):
    stages = []
    folder = base_model(load_settings(home=tmp_path, base_model=None), lambda what, share: stages.append(share))
    assert folder.revision == GEMMA_SHA256
    assert stages == sorted(stages)
    assert stages[-1] == 1
    weights = TensorFile(folder.path / "model.safetensors")
    assert weights.shape("model.embed_tokens.weight") == (262144, 640)
    assert json.loads((folder.path / "config.json").read_text())["num_hidden_layers"] == 18


def test_gemma_predicts_language(settings):
    """Fluent words are likelier than the same words shuffled: the dequantisation is right, not only its shapes."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = base_model(settings).path
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        AutoTokenizer.from_pretrained(folder),
    )
    fluent = "The city council voted on Tuesday to restore the wetlands along the river, drained long ago."
    shuffled = "ago wetlands the on council long drained river The along Tuesday city to voted restore the the."

    def loss(text):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        assert ids[0, 0] == 2
        with torch.no_grad():
            return float(model(ids, labels=ids).loss)

    assert loss(fluent) < 4.5
    assert loss(shuffled) > loss(fluent) + 1


def test_e5_is_what_the_packages_were_trained_on(settings):
    assert encoder_model(settings).revision == E5_SHA256


def test_e5_knows_translations_from_other_sentences(settings):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder_model(settings).path), device="cpu")
    texts = ["The river is clean again.", "De rivier is weer schoon.", "Share prices fell sharply in Tokyo."]
    vectors = model.encode([f"query: {text}" for text in texts], normalize_embeddings=True)
    same, other = float(vectors[0] @ vectors[1]), float(np.max(vectors[:2] @ vectors[2]))
    assert same > 0.9
    assert other < same - 0.08
