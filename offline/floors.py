"""Three floors that a filter has to beat on the same split: median, TF-IDF + ridge, encoder + ridge."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from offline.dataset import Array

FLOORS = ("median", "tfidf_ridge", "encoder_ridge")
_TFIDF_ALPHA = 1.0
_ENCODER_ALPHA = 1.0


def floor_scores(texts: Sequence[str], embeddings: Array, truth: Array, train: NDArray[np.int64]) -> dict[str, Array]:
    """[n, dimensions] on 0-10 of each floor, for every article."""
    words = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=50_000, analyzer="word", token_pattern=r"(?u)\w+"),
        Ridge(alpha=_TFIDF_ALPHA),
    )
    words.fit([texts[row] for row in train], truth[train])
    center, scale = embeddings[train].mean(0), embeddings[train].std(0)
    vectors = (embeddings - center) / scale
    linear = Ridge(alpha=_ENCODER_ALPHA * len(train) * 0.1).fit(vectors[train], truth[train])
    return {
        "median": np.tile(np.median(truth[train], axis=0), (len(truth), 1)).astype(np.float32),
        "tfidf_ridge": _scores(words.predict(texts), truth),
        "encoder_ridge": _scores(linear.predict(vectors), truth),
    }


def _scores(predicted: Array, truth: Array) -> Array:
    return np.clip(np.asarray(predicted, dtype=np.float32).reshape(truth.shape), 0, 10)
