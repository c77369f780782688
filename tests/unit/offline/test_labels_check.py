import random

import pytest

from core.article import Article
from core.spec import FilterSpec
from offline.labels_check import check_labels
from offline.stored import StoredLabel
from tests.support.specs import CONFIG

SPEC = FilterSpec.model_validate(CONFIG)
WORDS = [
    "harbour",
    "river",
    "council",
    "school",
    "library",
    "bridge",
    "market",
    "forest",
    "winter",
    "harvest",
    "museum",
    "clinic",
]


def article(number: int, language: str = "en") -> Article:
    rng = random.Random(number)
    text = " ".join(f"{rng.choice(WORDS)}{rng.randrange(1000)}" for _ in range(40))
    return Article(f"a{number}", f"Story {number}", text, language=language)


def label(number: int, value: float, oracle: str = "one", **scores) -> StoredLabel:
    return StoredLabel(f"a{number}", "demo", "v1", {"a": value, "b": value / 2} | scores, oracle)


def good(count: int = 400) -> tuple[list[StoredLabel], dict[str, Article]]:
    """Half relevant, in both languages alike."""
    labels = [label(i, 8.0 - i % 3 if i % 2 else 1.0) for i in range(count)]
    return labels, {f"a{i}": article(i, "en" if i % 4 < 2 else "nl") for i in range(count)}


def codes(labels, articles, held_out=None) -> dict[str, str]:
    return {finding.code: finding.severity for finding in check_labels(SPEC, labels, articles, held_out)}


def test_good_labels_have_no_findings():
    assert codes(*good()) == {}


def test_no_label_of_the_filter_is_an_error():
    assert codes([], {}) == {"no_labels": "error"}


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (label(0, 11.0), "out_of_range"),
        (label(0, 5.0, c=1.0), "wrong_dimensions"),
        (StoredLabel("a0", "demo", "v1", {"a": 1.0}, "one"), "wrong_dimensions"),
        (label(9999, 5.0), "no_article"),
    ],
    ids=["above-10", "extra-dimension", "missing-dimension", "no-article"],
)
def test_one_faulty_label_is_an_error(extra, code):
    labels, articles = good()
    assert codes([*labels, extra], articles)[code] == "error"


def test_a_constant_dimension_is_an_error():
    labels, articles = good()
    flat = [StoredLabel(x.article_id, "demo", "v1", {**x.scores, "b": 0.0}, "one") for x in labels]
    assert codes(flat, articles)["constant_dimension"] == "error"


def test_contradictory_duplicates_are_found_across_ids():
    labels, articles = good()
    articles["copy"] = Article("copy", articles["a1"].title, articles["a1"].text.upper())
    again = StoredLabel("copy", "demo", "v1", {"a": 0.0, "b": 0.0}, "two")
    assert "contradictory_duplicates" in codes([*labels, again], articles)


def test_too_few_positives():
    labels, articles = good()
    few = [x for x in labels if x.scores["a"] < 2] + [label(i, 8.0) for i in range(1, 20, 2)]
    assert codes(few, articles)["few_positives"] == "error"
    some = [x for x in labels if x.scores["a"] < 2] + [label(i, 8.0) for i in range(1, 81, 2)]
    assert codes(some, articles)["few_positives"] == "warning"


def test_language_confounded_with_label():
    """The predecessor's commerce set: nearly everything not English was positive."""
    labels, articles = good()
    articles |= {f"a{i}": article(i, "el") for i in range(500, 531)}
    greek = [label(i, 8.0 if i > 502 else 0.0) for i in range(500, 531)]
    assert codes([*labels, *greek], articles) == {"language_confounded": "warning"}


def test_a_near_copy_in_the_held_out_set_is_a_leak():
    labels, articles = good()
    copy = articles["a3"]
    held_out = {"x": Article("x", "Another headline", copy.text + " read more"), "y": article(1000)}
    findings = check_labels(SPEC, labels, articles, held_out)
    assert [(f.severity, f.code) for f in findings] == [("error", "leak")]
    assert "x ~ a3" in findings[0].detail
    assert codes(labels, articles, {"y": article(1000)}) == {}


def test_labels_of_several_rubrics_are_noticed():
    labels, articles = good()
    marked = [
        StoredLabel(x.article_id, "demo", "v1", x.scores, "one", prompt_hash=str(i % 2)) for i, x in enumerate(labels)
    ]
    assert codes(marked, articles) == {"mixed_rubrics": "warning"}
