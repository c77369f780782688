"""The samples that ship: what the demo relies on."""

import json
from collections import Counter
from pathlib import Path

from core.errors import RefusedRecord
from core.jsonl import read_lines
from core.spec import load_spec

SAMPLES = Path("producers/samples")
LANGUAGES = {"ar", "de", "el", "en", "es", "fr", "hi", "it", "ja", "nl", "pl", "pt", "tr", "uk", "zh"}


def load(name: str) -> list[dict]:
    return [json.loads(line) for line in (SAMPLES / name).read_text(encoding="utf-8").splitlines()]


def demo_articles() -> list:
    with (SAMPLES / "demo.jsonl").open("rb") as stream:
        return [line.outcome for line in read_lines(stream)]


def test_the_demo_has_120_records_of_which_three_are_malformed() -> None:
    outcomes = demo_articles()
    assert len(outcomes) == 120
    assert sum(isinstance(outcome, RefusedRecord) for outcome in outcomes) == 3


def test_the_demo_speaks_every_language() -> None:
    spoken = {outcome.language for outcome in demo_articles() if not isinstance(outcome, RefusedRecord)}
    assert spoken == LANGUAGES


def test_the_demo_has_positives_of_every_filter_and_commerce() -> None:
    ids = {outcome.id for outcome in demo_articles() if not isinstance(outcome, RefusedRecord)}
    positives: Counter[str] = Counter()
    for label in load("labels.jsonl"):
        if label["article_id"] not in ids:
            continue
        if label["filter"] == "commerce":
            positives["commerce"] += label["scores"]["commerce"] >= 6
            continue
        spec = load_spec(Path("filters") / label["filter"] / label["version"] / "config.yaml")
        weighted = sum(d.weight * label["scores"][d.name] for d in spec.dimensions)
        positives[label["filter"]] += weighted >= min(tier.at_least for tier in spec.tiers)
    assert len(positives) == 7
    assert min(positives.values()) >= 5, positives


def test_labels_belong_to_articles_and_are_on_the_scale() -> None:
    ids = {article["id"] for article in load("articles.jsonl")}
    labels = load("labels.jsonl")
    assert {label["article_id"] for label in labels} == ids
    assert all(0 <= score <= 10 for label in labels for score in label["scores"].values())
