"""`stillhouse labels check`: finds what ruins training before hours are spent on it."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.article import Article
from core.scoring import weigh
from core.spec import FilterSpec
from core.text import content_hash
from offline.intervals import wilson
from offline.stored import StoredLabel

Severity = Literal["error", "warning"]

CONTRADICTION = 3.0
"""Points on the weighted score. Two careful annotators of one article stand .1-.25 apart on average."""
MIN_POSITIVES = 20
MIN_PER_LANGUAGE = 20
_NEAR_DUPLICATE = 0.9
"""Cosine of character 5-grams: reprints with another headline reach it, two reports of one event do not."""
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Finding:
    """An error makes training or its figures wrong; a warning makes them weaker."""

    severity: Severity
    code: str
    detail: str


def check_labels(
    spec: FilterSpec,
    labels: Sequence[StoredLabel],
    articles: Mapping[str, Article],
    held_out: Mapping[str, Article] | None = None,
) -> list[Finding]:
    """All findings on the labels of one filter, errors first.

    Args:
        held_out: articles kept for judging; none of them, nor a near copy, may be among `articles`.
    """
    own = [label for label in labels if label.filter == spec.name]
    if not own:
        return [Finding("error", "no_labels", f"no label for {spec.name}")]
    whole = [label for label in own if set(label.scores) == set(spec.dimension_names)]
    findings = [*_shape(spec, own), *_orphans(own, articles), *_rubrics(own)]
    if whole:
        findings += [*_constant(spec, whole), *_contradictions(spec, whole, articles)]
        findings += [*_positives(spec, whole), *_languages(spec, whole, articles)]
    if held_out:
        findings += _leaks({n: articles[n] for n in {label.article_id for label in own} & articles.keys()}, held_out)
    return sorted(findings, key=lambda finding: finding.severity != "error")


def _shape(spec: FilterSpec, labels: Sequence[StoredLabel]) -> Iterable[Finding]:
    wrong = [label for label in labels if set(label.scores) != set(spec.dimension_names)]
    if wrong:
        odd = sorted(set(wrong[0].scores) ^ set(spec.dimension_names))
        yield Finding("error", "wrong_dimensions", f"{len(wrong)} labels, first {wrong[0].article_id}: {odd}")
    outside = [(label, d, v) for label in labels for d, v in label.scores.items() if not 0 <= v <= 10]
    if outside:
        label, dimension, value = outside[0]
        detail = f"{len(outside)} scores, first {label.article_id}: {dimension} is {value:g}; scores are 0-10"
        yield Finding("error", "out_of_range", detail)


def _orphans(labels: Sequence[StoredLabel], articles: Mapping[str, Article]) -> Iterable[Finding]:
    if missing := {label.article_id for label in labels} - articles.keys():
        yield Finding("error", "no_article", f"{len(missing)} labelled ids have no article, first {min(missing)}")


def _rubrics(labels: Sequence[StoredLabel]) -> Iterable[Finding]:
    by_oracle: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        if label.prompt_hash:
            by_oracle[label.oracle].add(label.prompt_hash)
    for oracle, hashes in sorted(by_oracle.items()):
        if len(hashes) > 1:
            yield Finding("warning", "mixed_rubrics", f"{oracle} labelled by {len(hashes)} prompts: {sorted(hashes)}")


def _constant(spec: FilterSpec, labels: Sequence[StoredLabel]) -> Iterable[Finding]:
    for dimension in spec.dimension_names:
        values = [label.scores[dimension] for label in labels]
        if max(values) == min(values):
            yield Finding("error", "constant_dimension", f"{dimension} is {values[0]:g} on all {len(values)} labels")


def _contradictions(
    spec: FilterSpec, labels: Sequence[StoredLabel], articles: Mapping[str, Article]
) -> Iterable[Finding]:
    """The same text (under any id) judged far apart."""
    by_text: dict[str, list[float]] = defaultdict(list)
    for label in labels:
        article = articles.get(label.article_id)
        by_text[content_hash(article) if article else label.article_id].append(weigh(spec, label.scores).value)
    spreads = [max(values) - min(values) for values in by_text.values() if len(values) > 1]
    if bad := [spread for spread in spreads if spread >= CONTRADICTION]:
        detail = f"{len(bad)} of {len(spreads)} texts with several labels are {CONTRADICTION:g} points or more apart"
        yield Finding("error" if len(bad) > 0.05 * len(spreads) else "warning", "contradictory_duplicates", detail)


def _relevant(spec: FilterSpec, labels: Sequence[StoredLabel]) -> dict[str, bool]:
    """By article: does the mean weighted score reach the gate's `relevant_at`?"""
    scores: dict[str, list[float]] = defaultdict(list)
    for label in labels:
        scores[label.article_id].append(weigh(spec, label.scores).value)
    return {name: float(np.mean(values)) >= spec.gate.relevant_at for name, values in scores.items()}


def _positives(spec: FilterSpec, labels: Sequence[StoredLabel]) -> Iterable[Finding]:
    relevant = _relevant(spec, labels)
    count = sum(relevant.values())
    # Without a single miss, n positives certify a miss rate of 1 - 0.05^(1/n) at 95% (Clopper-Pearson).
    needed = math.ceil(math.log(0.05) / math.log(1 - spec.gate.max_miss_rate)) if spec.gate.max_miss_rate else None
    at = f"reach {spec.gate.relevant_at:g}"
    if count < MIN_POSITIVES:
        yield Finding("error", "few_positives", f"{count} of {len(relevant)} articles {at}; {MIN_POSITIVES} are needed")
    elif needed and count < needed:
        detail = f"{count} articles {at}; a gate at {spec.gate.max_miss_rate:.0%} misses is certified from {needed} on"
        yield Finding("warning", "few_positives", detail)


def _languages(spec: FilterSpec, labels: Sequence[StoredLabel], articles: Mapping[str, Article]) -> Iterable[Finding]:
    """A language whose articles nearly all fall on one side teaches "that language", not the filter."""
    relevant = _relevant(spec, labels)
    groups: dict[str, list[bool]] = defaultdict(list)
    for name, positive in relevant.items():
        if name in articles and articles[name].language:
            groups[str(articles[name].language)].append(positive)
    for language, sides in sorted(groups.items()):
        others = [side for other, values in groups.items() if other != language for side in values]
        if min(len(sides), len(others)) < MIN_PER_LANGUAGE:
            continue
        low, high = wilson(sum(sides), len(sides))
        other_low, other_high = wilson(sum(others), len(others))
        minority = min(sum(sides), len(sides) - sum(sides))
        if (low > other_high or high < other_low) and minority < 0.1 * len(sides):
            detail = (
                f"{sum(sides)} of {len(sides)} in {language} are relevant, {sum(others)} of {len(others)} elsewhere"
            )
            yield Finding("warning", "language_confounded", detail)


def _leaks(train: Mapping[str, Article], held_out: Mapping[str, Article]) -> list[Finding]:
    """Training articles that are near copies of held-out ones, by character 5-grams (any script)."""
    from sklearn.feature_extraction.text import HashingVectorizer

    if not train:
        return []
    vectorizer = HashingVectorizer(analyzer="char_wb", ngram_range=(5, 5), n_features=2**20)
    names = list(train)
    matrix = vectorizer.transform([train[name].content.casefold()[:4000] for name in names])
    judges = vectorizer.transform([article.content.casefold()[:4000] for article in held_out.values()])
    copies: dict[int, int] = {}
    for start in range(0, judges.shape[0], _BLOCK):
        close = (judges[start : start + _BLOCK] @ matrix.T).tocoo()
        near = close.data >= _NEAR_DUPLICATE
        copies |= {start + int(r): int(c) for r, c in zip(close.row[near], close.col[near], strict=True)}
    if not copies:
        return []
    row, column = min(copies.items())
    first = f"first {list(held_out)[row]} ~ {names[column]}"
    return [Finding("error", "leak", f"{len(copies)} held-out articles have a near copy in training, {first}")]
