"""Every engine on the shipped packages and real weights: within the bounds of fp32 torch, bytes free of the batch."""

from functools import cache

import numpy as np
import pytest

from benchmarks.articles import SAMPLES, load_articles
from benchmarks.engine import trunk_of
from benchmarks.parity import MAX_BOUND, MEAN_BOUND, compare
from core.cascade import ScorerInput
from core.releases import RELEASES_FILE
from core.settings import PROJECT, load_settings
from core.text import model_text
from models.engines.gemma import GemmaWeights
from models.engines.openvino_bert import openvino_bert
from models.engines.torch_gemma import TorchGemma
from models.processor import processor
from models.registry import load_cascade
from models.scorer import FilterHead, HeadScorer
from models.text_engine import load_trunk
from models.weights import base_model, encoder_model
from tests.contract.engines import needs_bf16, openvino_scorer, torch_scorer

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(not (PROJECT / "filters" / RELEASES_FILE).is_file(), reason="nothing is released"),
    pytest.mark.skipif(
        not (load_settings().home / "weights" / "gemma-3-270m").is_dir(), reason="run `stillhouse weights` first"
    ),
]

ENGINES = [
    pytest.param(openvino_scorer("f32"), id="openvino-f32"),
    pytest.param(openvino_scorer("bf16"), id="openvino-bf16", marks=needs_bf16),
    pytest.param(torch_scorer("bf16"), id="torch-bf16", marks=needs_bf16),
]
ARTICLES = 16


@cache
def shipped():
    """The active cascade, its inputs, and the raw outputs of fp32 torch."""
    settings = load_settings()
    cascade = load_cascade(settings, gates=False)
    gated = cascade.embed(load_articles(SAMPLES, ARTICLES))
    inputs = [ScorerInput(model_text(g.article), g.embedding, tuple(cascade.packages)) for g in gated]
    base = base_model(settings).path
    adapter, max_tokens = trunk_of(settings, cascade)
    reference = TorchGemma(GemmaWeights(base, adapter), max_tokens, "f32")
    return cascade, inputs, (base, adapter, max_tokens), _outputs(cascade, reference, base, max_tokens, inputs)


@pytest.mark.parametrize("make", ENGINES)
def test_calibrated_scores_stay_within_the_bounds(make):
    cascade, inputs, (base, adapter, max_tokens), reference = shipped()
    engine = make(base, adapter, max_tokens)
    found = compare(cascade.packages, _outputs(cascade, engine, base, max_tokens, inputs), reference)
    assert found["mean"] <= MEAN_BOUND, found
    assert found["max"] <= MAX_BOUND, found
    assert found["tiers_changed"] == 0, found


@pytest.mark.parametrize("make", ENGINES[:2])
def test_scorer_bytes_do_not_depend_on_the_batch(make):
    """Real sizes: kernels are chosen by them, so tiny models prove nothing about these."""
    _, _, (base, adapter, max_tokens), _ = shipped()
    _check_rows(make(base, adapter, max_tokens), max_tokens)


@pytest.mark.parametrize("number_type", ["f32", pytest.param("bf16", marks=needs_bf16)])
def test_encoder_bytes_do_not_depend_on_the_batch(number_type):
    from models.engines.bert import BertWeights

    _check_rows(openvino_bert(BertWeights(encoder_model(load_settings()).path), processor(), number_type), 512)


def _check_rows(engine, longest):
    rng = np.random.default_rng(7)
    rows = [rng.integers(10, 200_000, length).tolist() for length in (1, 5, 16, 17, 31, 40, 47, 100, 103, 106, longest)]
    together = engine.states(rows)
    for place, row in enumerate(rows):
        assert engine.states([row])[0].tobytes() == together[place].tobytes(), len(row)
    shuffled = rng.permutation(len(rows))
    again = engine.states([rows[place] for place in shuffled])
    assert all(again[i].tobytes() == together[place].tobytes() for i, place in enumerate(shuffled))


def _outputs(cascade, engine, base, max_tokens, inputs):
    heads = {name: FilterHead("trunk", part.head) for name, part in cascade.models.scorer.heads.items()}
    return HeadScorer({"trunk": load_trunk(engine, base, max_tokens)}, heads).score(inputs)
