"""Alert rules and dashboards use only metrics, labels and states that the code has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from consumers.metrics import METRICS, OUTCOMES

DEPLOY = Path(__file__).parents[3] / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
SERIES = {series: metric for metric in METRICS for series in metric.series}
FUNCTIONS = {
    "and",
    "by",
    "max",
    "min",
    "sum",
    "count",
    "abs",
    "rate",
    "increase",
    "deriv",
    "histogram_quantile",
    "topk",
}


def expressions() -> Iterator[tuple[str, str]]:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"]


CASES = [pytest.param(expression, id=name) for name, expression in expressions()]


@pytest.mark.parametrize("expression", CASES)
def test_metrics_and_labels_exist(expression: str):
    used = re.findall(r"\b(?:stillhouse_\w+)", expression)
    assert used or expression.startswith("up{")
    assert set(used) <= set(SERIES)
    known = {label for series in used for label in SERIES[series].labels} | {"le", "job"}
    for group in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= known
    for selector in re.findall(r"\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)(?:=|!)", selector)) <= known


@pytest.mark.parametrize("expression", CASES)
def test_parentheses_close_and_words_are_functions(expression: str):
    depth = 0
    for character in expression:
        depth += {"(": 1, ")": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)|stillhouse_\w+|\bup\b", " ", expression)
    assert set(re.findall(r"[a-z_]+", bare)) <= FUNCTIONS


def test_outcomes_that_are_selected_are_outcomes():
    selected = {
        outcome
        for _, expression in expressions()
        if "stillhouse_records_total" in expression
        for outcome in re.findall(r'outcome="(\w+)"', expression)
    }
    assert selected <= set(OUTCOMES.values()) | {"dead"}


def test_every_metric_is_shown_somewhere():
    shown = {
        SERIES[series].name for _, expression in expressions() for series in re.findall(r"stillhouse_\w+", expression)
    }
    assert shown == {metric.name for metric in METRICS}


def test_alerts_say_what_to_do_and_how_bad_it_is():
    for group in ALERTS["groups"]:
        names = [rule["alert"] for rule in group["rules"]]
        assert len(names) == len(set(names))
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("info", "warning", "critical")
            assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_panels_do_not_overlap(file: Path):
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(file.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
