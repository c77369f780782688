"""Scores of a few fixed articles: what an upload is compared by."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.article import Article
from core.cascade import ScorerInput
from core.releases import Activation, load_activation
from core.settings import Settings
from core.text import model_text
from offline.hub import Score

ARTICLES = (
    Article(
        "check-1", "Village reopens its library", "Forty neighbours rebuilt it in two years; 900 people use it now."
    ),
    Article(
        "check-2", "Kraan verlaagt rente", "De centrale bank verlaagt de rente met een kwart punt na zwakke cijfers."
    ),
    Article(
        "check-3", "Wind farm passes 1 TWh", "The cooperative's turbines sold power at 41 euro per MWh, below gas."
    ),
    Article("check-4", "Sale ends tonight", "All shoes 50% off. Order now and save."),
)


def scorer_of(settings: Settings) -> Score:
    """Loads the package by itself, beside the machine's own commerce head, and scores ARTICLES ungated."""

    def score(root: Path, name: str, version: str) -> NDArray[np.float64]:
        from models.registry import load_cascade

        commerce = load_activation(settings.filters).commerce
        own = settings.model_copy(update={"filters": (*settings.filters, root)})
        cascade = load_cascade(own, Activation(filters={name: version}, commerce=commerce), gates=False)
        gated = cascade.embed(ARTICLES)
        inputs = [ScorerInput(model_text(g.article), g.embedding, (name,)) for g in gated]
        return np.concatenate(
            [np.asarray(output[name], dtype=np.float64) for output in cascade.models.scorer.score(inputs)]
        )

    return score
