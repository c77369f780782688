"""Figures that can be worked out by hand, and the page that shows them."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from offline.dataset import Label, average
from offline.evaluation import HeldOut, by_group, calibration_curve, coverage, evaluate, gate, noise_floor, tiers
from offline.predictions import Predictions
from offline.report import write_report
from tests.unit.offline.tiny_gemma import tiny_spec

SPEC = tiny_spec()


def predictions(weighted: list[float], width: float = 1.0, closed: list[bool] | None = None) -> Predictions:
    values = np.array(weighted)
    shut = np.array(closed or [False] * len(weighted))
    return Predictions(np.stack([values, values], axis=1), values, values - width, values + width, shut)


def rated(scores: list[tuple[float, ...]]):
    """Articles with one label per number given."""
    labels = [
        Label(str(row), SPEC.name, "v1", {"warmth": value, "depth": value}, f"oracle {at}")
        for row, values in enumerate(scores)
        for at, value in enumerate(values)
    ]
    return average(labels, SPEC.dimension_names)


def test_a_tier_is_recalled_by_those_who_reach_it_in_both() -> None:
    found = tiers(SPEC, np.array([8.0, 7.5, 5.0, 1.0]), np.array([9.0, 5.0, 7.0, 1.0]))
    assert found["high"] == {"at_least": 7.0, "articles": 2, "recall": 0.5, "precision": 0.5}
    assert found["medium"]["recall"] == found["medium"]["precision"] == 1.0
    assert found["same_tier"] == {"share": 0.5}
    nothing = tiers(SPEC, np.array([1.0]), np.array([1.0]))["high"]
    assert (nothing["recall"], nothing["precision"]) == (None, None)


def test_an_interval_counts_as_holding_a_score_on_its_edge() -> None:
    found = coverage(predictions([2.0, 5.0, 8.0], closed=[True, False, False]), np.array([3.0, 6.5, 8.004]))
    assert found["all"] == pytest.approx(2 / 3)
    assert (found["probe"], found["scorer"], found["all_width"]) == (1.0, 0.5, 2.0)


def test_articles_without_an_interval_are_not_counted() -> None:
    without = predictions([2.0, 5.0], width=float("nan"))
    assert coverage(without, np.array([2.0, 5.0])) == {}


def test_the_gate_misses_relevant_articles_that_it_closes() -> None:
    found = gate(SPEC, predictions([0.0] * 4, closed=[True, True, False, False]), np.array([9.0, 0.0, 9.0, 0.0]))
    assert (found["closed_share"], found["positives"], found["misses"]) == (0.5, 2, 1)
    assert 0.5 < found["miss_rate_upper95"] <= 1


def test_calibration_is_by_predicted_point() -> None:
    (low, high) = calibration_curve(np.array([1.2, 1.8, 9.9]), np.array([1.0, 2.0, 8.0]))
    assert low == {"predicted": pytest.approx(1.5), "oracle": 1.5, "articles": 2}
    assert high["articles"] == 1


def test_small_groups_are_put_together_and_bias_has_a_sign() -> None:
    found = by_group(["en"] * 8 + ["el", "hi"], predictions([3.0] * 10), np.array([2.0] * 8 + [4.0, 4.0]))
    assert found == {
        "en": {"articles": 8, "mae": 1.0, "bias": 1.0},
        "(others)": {"articles": 2, "mae": 1.0, "bias": -1.0},
    }


def test_the_noise_floor_needs_articles_with_two_labels() -> None:
    assert noise_floor(SPEC, rated([(1.0,), (8.0,)])) == {}
    found = noise_floor(SPEC, rated([(1.0, 2.0), (8.0, 6.0), (3.0, 3.0)]))
    assert (found["n"], found["mae"]) == (3.0, pytest.approx(1.0))


@pytest.fixture
def report() -> dict:
    truth = [(float(i % 10), float((i + i % 2) % 10)) for i in range(40)]
    labels = rated(truth)
    guess = predictions([float(i % 10) for i in range(40)], closed=[i % 3 == 0 for i in range(40)])
    floors = {"median": np.full((40, 2), 4.0), "tfidf_ridge": guess.scores + 2, "encoder_ridge": guess.scores + 1}
    held_out = HeldOut(SPEC, labels, ["en", "<b>nl"] * 20, ["feed"] * 40, floors)
    return evaluate(held_out, guess, guess)


def test_the_floors_stand_beside_the_filter(report: dict) -> None:
    assert report["filter"] == "kindness/v1"
    assert report["weighted"]["mae"] < report["floors"]["encoder_ridge"]["mae"] < report["floors"]["median"]["mae"]
    assert set(report["dimensions"]) == {"warmth", "depth"}
    assert report["noise"]["n"] == 40.0


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_opens_without_network_and_escapes_what_it_shows(report: dict, tmp_path: Path) -> None:
    write_report(report, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert len(page.loads) == 4
    assert all(url.startswith("data:image/png;base64,") for url in page.loads)
    assert "<b>nl" not in text
    assert "&lt;b&gt;nl" in text
    for title in ("TF-IDF + ridge", "one annotator against another", "Dimensions", "Tiers", "Languages", "Sources"):
        assert title in text
    assert not re.search(r"https?://", text)
