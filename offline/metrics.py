"""Metrics of one score against the oracle's."""

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from offline.dataset import Array


def ranking(guess: Array, truth: Array, relevant_at: float) -> dict[str, float]:
    """Error, rank correlation and average precision of relevant articles (oracle >= relevant_at).

    `spread` is the standard deviation of the predictions over the oracle's: below 1 predictions are compressed.
    Metrics that the data cannot give (one class, no variance) are left out.
    """
    relevant = truth >= relevant_at
    result = {
        "n": float(len(truth)),
        "relevant": float(relevant.sum()),
        "mae": float(np.abs(guess - truth).mean()),
        "bias": float((guess - truth).mean()),
    }
    if truth.std() > 0:
        result["spread"] = float(guess.std() / truth.std())
        if guess.std() > 1e-6:
            result["spearman"] = float(spearmanr(guess, truth).statistic)
    if relevant.any():
        result["mae_relevant"] = float(np.abs(guess - truth)[relevant].mean())
        if not relevant.all():
            result["average_precision"] = float(average_precision_score(relevant, guess))
    return result
