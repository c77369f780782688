import random
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.board.catalogue import Catalogue
from consumers.board.history import HistoryWriter
from consumers.board.quality import MIN_LABELS, live_quality
from consumers.board.queries import History
from core import topics
from core.article import Article
from core.messages import Labelled, OracleLabel
from tests.support.board_records import FILTERS, SPECS, record


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
    assert (found.label, found.version, found.labels) == ("Uplifting", "v6", 100)
    assert found.figures["error"].value == pytest.approx(0.6, abs=0.02)
    assert found.figures["found"].value == pytest.approx(1.0)
    assert found.figures["top found"].value == pytest.approx(1.0)
    for estimate in found.figures.values():
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.low < estimate.high


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
