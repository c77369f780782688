import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from consumers.board.catalogue import Catalogue
from consumers.board.history import HistoryWriter
from consumers.board.quality import MIN_LABELS, live_quality, weighted_mean, weighted_share
from consumers.board.queries import History
from core import topics
from core.article import Article
from core.messages import Labelled, OracleLabel
from tests.support.board_records import FILTERS, SPECS, record


def test_weights_bring_back_the_whole_stream():
    """Half of the stream errs by 2 and is asked ten times as often: the mean error is still near 1."""
    rng = np.random.default_rng(3)
    hard = rng.random(40_000) < 0.5
    propensity = np.where(hard, 0.2, 0.02)
    asked = rng.random(40_000) < propensity
    values = np.where(hard, 2.0, 0.0)[asked]
    estimate = weighted_mean(values, 1 / propensity[asked])
    assert values.mean() > 1.7
    assert estimate.low < 1.0 < estimate.high
    assert estimate.high - estimate.low < 0.2


def test_the_interval_of_a_share_covers_as_often_as_it_says():
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(400):
        weights = rng.choice([1.0, 2.0, 5.0], 120)
        hits = (rng.random(120) < 0.9).astype(float)
        estimate = weighted_share(hits, weights)
        inside += estimate.low <= 0.9 <= estimate.high
    assert 0.90 <= inside / 400 <= 0.995


def test_a_share_of_one_keeps_an_honest_interval():
    estimate = weighted_share(np.ones(30), np.ones(30))
    assert estimate.value == estimate.high == pytest.approx(1.0)
    assert 0.85 < estimate.low < 0.9


def label(level: float, predicted: float, propensity: float = 0.5) -> OracleLabel:
    scores = dict.fromkeys(SPECS["uplifting"].dimension_names, level)
    return OracleLabel("v6", scores, "gemini", "aa", propensity, "audit", predicted, "scorer")


def test_figures_of_a_known_stream(tmp_path: Path):
    writer = HistoryWriter(tmp_path / "board.sqlite")
    rng = random.Random(5)
    for index in range(100):
        level = 8.0 if index % 2 else 1.0
        predicted = level - 0.5 if index % 10 else level + 1.5
        labels = {"uplifting": label(level, predicted, rng.uniform(0.49, 0.51))}
        body = Labelled(Article(f"a{index}", "t", "x"), labels, "r").to_bytes()
        writer.apply([record(topics.ORACLE_LABELS, "k", body, index, index)])
    (found,) = live_quality(History(tmp_path / "board.sqlite"), Catalogue((FILTERS,)))
    assert (found.name, found.labels) == ("uplifting", 100)
    assert found.figures["error"].value == pytest.approx(0.6, abs=0.02)
    assert found.figures["bias"].value == pytest.approx(-0.3, abs=0.02)
    assert found.figures["agreement"].value == pytest.approx(1.0)
    assert found.figures["recall"].value == pytest.approx(1.0)
    assert all(math.isfinite(e.low) and e.low <= e.value <= e.high for e in found.figures.values())


def test_few_or_useless_labels_give_no_figure(tmp_path: Path):
    writer = HistoryWriter(tmp_path / "board.sqlite")
    useless = replace(label(5, 5), propensity=0.0)
    for index in range(MIN_LABELS + 5):
        chosen = useless if index < 6 else label(5, 5)
        body = Labelled(Article(f"a{index}", "t", "x"), {"uplifting": chosen}, "r").to_bytes()
        writer.apply([record(topics.ORACLE_LABELS, "k", body, index, index)])
    (found,) = live_quality(History(tmp_path / "board.sqlite"), Catalogue((FILTERS,)))
    assert found.labels == MIN_LABELS - 1
    assert not found.figures
