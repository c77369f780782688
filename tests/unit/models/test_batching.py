import itertools
import json
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.settings import PROJECT
from models.engines.batching import TokenBudget, pack, padded_length, plan, run

lengths = st.lists(st.integers(1, 512), max_size=200)


@given(lengths)
def test_every_sequence_is_in_one_batch_of_its_own_length(found):
    batches = list(plan(found, TokenBudget()))
    assert sorted(place for batch in batches for place in batch.places) == list(range(len(found)))
    for batch in batches:
        assert {padded_length(found[place]) for place in batch.places} == {batch.padded}
        assert len(batch.places) * batch.padded <= 2048 or len(batch.places) == 1


@given(st.lists(st.integers(1, 512), max_size=80), st.sampled_from([512, 1024, 8192]))
def test_packed_sequences_fill_passes_and_each_is_in_one(found, tokens):
    passes = list(pack(found, tokens))
    assert sorted(place for places in passes for place in places) == list(range(len(found)))
    used = [sum(padded_length(found[place]) for place in places) for places in passes]
    assert all(one <= tokens for one in used)
    assert all(one + following > tokens for one, following in itertools.pairwise(used)), "none has room for the next"


def test_padding_stays_below_12_percent_on_the_sample_articles():
    samples = PROJECT / "producers" / "samples" / "articles.jsonl"
    texts = [json.loads(line).get("text", "") for line in samples.read_text().splitlines() if line.startswith("{")]
    tokens = [min(512, 2 + len(text) // 4) for text in texts if isinstance(text, str) and text]
    padded = sum(len(batch.places) * batch.padded for batch in plan(tokens, TokenBudget()))
    assert len(tokens) > 50
    assert padded / sum(tokens) < 1.12


def test_exhausted_memory_halves_the_batch_and_goes_on(caplog):
    def compute(rows, _padded):
        if len(rows) > 2:
            raise MemoryError("no")
        return np.array([[len(ids)] for ids in rows], dtype=np.float32)

    rows = [[1] * length for length in (3, 9, 5, 4, 2, 30, 31)]
    with caplog.at_level(logging.WARNING):
        states = run(rows, TokenBudget(), 1, compute)
    assert states[:, 0].tolist() == [3, 9, 5, 4, 2, 30, 31]
    assert "going on in halves" in caplog.text


def test_one_row_that_does_not_fit_is_an_error():
    def compute(_rows, _padded):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run([[1], [2]], TokenBudget(), 1, compute)
