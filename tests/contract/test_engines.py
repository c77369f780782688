"""What holds for every engine: the reference's numbers, and bytes that do not depend on the batch."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.engines import ENCODERS, SCORERS, packed_scorer
from tests.support.tiny_models import GEMMA, write_adapter, write_bert, write_gemma

MAX_TOKENS = 80
LENGTHS = (1, 2, 15, 16, 17, 23, 24, 25, 48, 63, 80)


def sequences(lengths, seed=0, first=3):
    rng = np.random.default_rng(seed)
    return [rng.integers(first, 300, length).tolist() for length in lengths]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    root = tmp_path_factory.mktemp("gemma")
    return write_gemma(root / "base"), write_adapter(root / "adapter")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert") / "base")


@pytest.fixture(scope="module")
def peft_states(gemma):
    """transformers with an unmerged PEFT adapter in fp32, one sequence at a time: the typical path."""
    from peft import PeftModel
    from transformers import Gemma3TextModel

    base, adapter = gemma
    model = Gemma3TextModel.from_pretrained(base, dtype=torch.float32)
    # Files of a causal model name their modules model.*, a bare text model does not.
    wrapper = torch.nn.Module()
    wrapper.model, wrapper.config = model, model.config
    wrapper.forward = lambda **inputs: model(**inputs)
    peft = PeftModel.from_pretrained(wrapper, adapter)

    @torch.no_grad()
    def states(rows):
        return np.stack([peft(input_ids=torch.tensor([ids])).last_hidden_state[0, -1].numpy() for ids in rows])

    return states


@pytest.mark.parametrize(("make", "tolerance"), [*SCORERS, pytest.param(packed_scorer(160), 2e-4, id="packed")])
def test_scorer_equals_transformers_with_peft(make, tolerance, gemma, peft_states):
    rows = sequences(LENGTHS)
    states, expected = make(*gemma, MAX_TOKENS).states(rows), peft_states(rows)
    assert states.dtype == np.float32
    assert states.shape == (len(LENGTHS), GEMMA["hidden_size"])
    assert np.abs(states - expected).max() < tolerance, np.abs(states - expected).max(axis=1)


@pytest.mark.parametrize(("make", "tolerance"), ENCODERS)
def test_encoder_equals_transformers(make, tolerance, bert):
    from transformers import BertModel

    model, rows = BertModel.from_pretrained(bert).eval(), sequences(LENGTHS)
    with torch.no_grad():
        means = [model(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy() for ids in rows]
    expected = np.stack([mean / np.linalg.norm(mean) for mean in means])
    vectors = make(bert).states(rows)
    assert np.abs(vectors - expected).max() < tolerance
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


lengths = st.lists(st.integers(1, MAX_TOKENS), min_size=1, max_size=12)


@pytest.mark.parametrize(("make", "_tolerance"), SCORERS)
def test_scorer_bytes_do_not_depend_on_the_batch(make, _tolerance, gemma):
    _check_bytes(make(*gemma, MAX_TOKENS))


@pytest.mark.parametrize(("make", "_tolerance"), ENCODERS)
def test_encoder_bytes_do_not_depend_on_the_batch(make, _tolerance, bert):
    _check_bytes(make(bert))


def _check_bytes(engine):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(lengths, st.integers(1, MAX_TOKENS), st.data())
    def check(others, length, data):
        (article,) = sequences([length], seed=length)
        alone = engine.states([article])[0]
        place = data.draw(st.integers(0, len(others)))
        neighbours = sequences(others, seed=99)
        together = engine.states([*neighbours[:place], article, *neighbours[place:]])
        assert together[place].tobytes() == alone.tobytes()

    check()
