"""Labelled articles as arrays: several labels of one article averaged, their spread kept as the noise floor."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from core.article import Article, article_from_dict
from core.errors import RefusedRecord, StillhouseError
from core.text import clean_article

Array = NDArray[Any]
"""Numbers; docstrings give the shape."""


class DatasetError(StillhouseError):
    """Labels or articles cannot be used for training; the message says which."""


@dataclass(frozen=True, slots=True)
class Label:
    """One oracle's scores of one article. `propensity` is the probability that the oracle was asked."""

    article_id: str
    filter: str
    version: str
    scores: dict[str, float]
    oracle: str
    sampling: str | None = None
    propensity: float = 1.0


@dataclass(frozen=True)
class Rated:
    """Labels of one filter, one row per article.

    scores: [n, dimensions], mean over annotators. annotators: [n]. weights: [n], inverse propensity, capped.
    first, second: [pairs, dimensions], two single annotators of the articles `pair_rows`: the noise floor.
    """

    ids: tuple[str, ...]
    scores: Array
    annotators: Array
    weights: Array
    pair_rows: NDArray[np.int64]
    first: Array
    second: Array

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, ids: Iterable[str]) -> "Rated":
        """The rows of these articles, in this object's order."""
        wanted = set(ids)
        rows = np.array([i for i, name in enumerate(self.ids) if name in wanted], dtype=np.int64)
        place = {int(row): at for at, row in enumerate(rows)}
        pairs = [at for at, row in enumerate(self.pair_rows) if int(row) in place]
        return Rated(
            ids=tuple(self.ids[i] for i in rows),
            scores=self.scores[rows],
            annotators=self.annotators[rows],
            weights=self.weights[rows],
            pair_rows=np.array([place[int(self.pair_rows[at])] for at in pairs], dtype=np.int64),
            first=self.first[pairs],
            second=self.second[pairs],
        )


MAX_WEIGHT = 20.0
"""Cap on inverse propensity: one rarely asked article must not steer a whole filter."""


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise DatasetError(f"{path}:{number}: not valid JSON: {error}.", action="Mend the line.") from error


def read_articles(paths: Iterable[Path]) -> dict[str, Article]:
    """Cleaned articles by id, as the stream would see them."""
    articles: dict[str, Article] = {}
    for path in paths:
        for number, record in enumerate(read_jsonl(path), 1):
            try:
                article = clean_article(article_from_dict(record))
            except RefusedRecord as error:
                raise DatasetError(f"{path}: record {number}: {error}.", action="Remove or mend it.") from error
            articles[article.id] = article
    return articles


def label_from_dict(record: dict[str, Any]) -> Label:
    return Label(
        article_id=record["article_id"],
        filter=record["filter"],
        version=record["version"],
        scores={name: float(value) for name, value in record["scores"].items()},
        oracle=record.get("oracle", "unknown"),
        sampling=record.get("sampling"),
        propensity=float(record.get("propensity") or 1.0),
    )


def read_labels(paths: Iterable[Path]) -> list[Label]:
    labels = []
    for path in paths:
        for number, record in enumerate(read_jsonl(path), 1):
            try:
                labels.append(label_from_dict(record))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DatasetError(
                    f"{path}: label {number}: {error!r}.",
                    action="A label needs article_id, filter, version and numeric scores.",
                ) from error
    return labels


def average(labels: Iterable[Label], dimensions: Sequence[str]) -> Rated:
    """One row per article: the mean of its labels. Refuses labels that lack a dimension."""
    by_article: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        if missing := set(dimensions) - label.scores.keys():
            raise DatasetError(
                f"Label of {label.article_id} for {label.filter} lacks {sorted(missing)}.",
                action="Relabel it, or correct the dimensions in config.yaml.",
            )
        by_article[label.article_id].append(label)
    vectors = {
        name: np.array([[label.scores[d] for d in dimensions] for label in group], dtype=np.float32)
        for name, group in by_article.items()
    }
    ids = tuple(vectors)
    pairs = [row for row, name in enumerate(ids) if len(vectors[name]) > 1]
    shape = (0, len(dimensions))
    return Rated(
        ids=ids,
        scores=np.array([vectors[name].mean(0) for name in ids], dtype=np.float32).reshape(-1, len(dimensions)),
        annotators=np.array([len(vectors[name]) for name in ids], dtype=np.float32),
        weights=np.array([_weight(by_article[name]) for name in ids], dtype=np.float32),
        pair_rows=np.array(pairs, dtype=np.int64),
        first=np.array([vectors[ids[row]][0] for row in pairs], dtype=np.float32).reshape(-1, shape[1]),
        second=np.array([vectors[ids[row]][1] for row in pairs], dtype=np.float32).reshape(-1, shape[1]),
    )


def _weight(group: Sequence[Label]) -> float:
    propensity = float(np.mean([label.propensity for label in group]))
    return min(MAX_WEIGHT, 1 / max(propensity, 1e-6))
