"""Heads computed together are the heads."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.heads import HeadStack, Perceptron

shapes = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=5)


def random_head(rng, inputs, units, outputs):
    def numbers(*shape):
        return rng.normal(size=shape).astype(np.float32)

    scale = rng.uniform(0.05, 2, inputs).astype(np.float32)
    return Perceptron(
        numbers(inputs), scale, numbers(outputs, inputs), numbers(outputs), numbers(units, inputs), numbers(units),
        numbers(outputs, units),
    )  # fmt: skip


@given(shapes, st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_every_head_answers_as_if_alone(found, inputs, seed):
    rng = np.random.default_rng(seed)
    heads = {f"head-{place}": random_head(rng, inputs, *shape) for place, shape in enumerate(found)}
    x = rng.normal(size=inputs).astype(np.float32)
    together = HeadStack(heads)(x)
    assert list(together) == list(heads)
    for name, head in heads.items():
        np.testing.assert_allclose(together[name], head(x), rtol=1e-4, atol=2e-3)
