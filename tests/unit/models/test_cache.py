import numpy as np

from models.cache import VectorCache


class Counting:
    def __init__(self):
        self.computed = []

    def __call__(self, texts):
        self.computed += texts
        return np.array([[len(text)] for text in texts], dtype=np.float32)


def test_a_text_is_computed_once_also_within_one_batch():
    cache, compute = VectorCache(), Counting()
    assert cache.vectors(["aa", "b", "aa"], compute).tolist() == [[2], [1], [2]]
    assert cache.vectors(["b", "ccc"], compute).tolist() == [[1], [3]]
    assert compute.computed == ["aa", "b", "ccc"]


def test_the_least_recently_used_text_leaves_first():
    cache, compute = VectorCache(capacity=2), Counting()
    cache.vectors(["a", "b"], compute)
    cache.vectors(["a"], compute)
    cache.vectors(["c"], compute)
    compute.computed.clear()
    cache.vectors(["a", "b"], compute)
    assert compute.computed == ["b"]


def test_a_batch_larger_than_the_cache_is_answered_whole():
    cache, compute = VectorCache(capacity=1), Counting()
    assert cache.vectors(["a", "bb", "ccc"], compute).tolist() == [[1], [2], [3]]
