"""Everything a training run reads: articles, labels per filter, encoder embeddings, split; cached by content."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.article import Article
from core.scoring import weigh
from core.spec import FilterSpec
from core.text import content_hash, model_text
from offline.dataset import Array, DatasetError, Label, Rated, average, read_articles, read_labels
from offline.splits import Side, near_duplicate_groups, split

EncodeTexts = Callable[[Sequence[str]], Array]


@dataclass(frozen=True)
class Source:
    """One pair of JSONL files."""

    name: str
    articles: Path
    labels: Path


@dataclass(frozen=True)
class Library:
    """Labelled articles of all sources.

    ids: order of the rows of `embeddings` [n, width]. origin: source of each id. sides: of the split.
    """

    ids: tuple[str, ...]
    articles: Mapping[str, Article]
    origin: Mapping[str, str]
    embeddings: Array
    sides: Mapping[str, Side]
    rated: Mapping[str, Rated]
    specs: Mapping[str, FilterSpec]

    def on(self, side: Side) -> list[int]:
        return [row for row, name in enumerate(self.ids) if self.sides[name] == side]

    def rows(self, ids: Sequence[str]) -> list[int]:
        place = {name: row for row, name in enumerate(self.ids)}
        return [place[name] for name in ids]


def load_library(
    sources: Sequence[Source], specs: Sequence[FilterSpec], encode: EncodeTexts, cache: Path, seed: int = 0
) -> Library:
    """Read, embed (cached in `cache`) and split. An article of several sources belongs to the first."""
    articles: dict[str, Article] = {}
    origin: dict[str, str] = {}
    labels: list[Label] = []
    for source in sources:
        for name, article in read_articles([source.articles]).items():
            if name not in articles:
                articles[name], origin[name] = article, source.name
        labels += read_labels([source.labels])
    rated = rate(labels, specs, articles)
    used = {name for filter_labels in rated.values() for name in filter_labels.ids}
    ids = tuple(name for name in articles if name in used)
    embeddings = embed_cached([articles[name] for name in ids], encode, cache)
    strata = stratify(ids, origin, rated, specs)
    sides = split(ids, near_duplicate_groups(embeddings), strata, seed)
    return Library(ids, articles, origin, embeddings, sides, rated, {spec.name: spec for spec in specs})


def rate(labels: Sequence[Label], specs: Sequence[FilterSpec], articles: Mapping[str, Article]) -> dict[str, Rated]:
    """Averaged labels by filter name. Labels of other versions or of unknown articles are an error."""
    rated = {}
    for spec in specs:
        own = [label for label in labels if label.filter == spec.name and label.version == spec.version]
        if not own:
            raise DatasetError(
                f"No label for {spec.name}/{spec.version}.", action="Import labels, or name a file with --labels."
            )
        if missing := {label.article_id for label in own} - articles.keys():
            raise DatasetError(
                f"{len(missing)} labels of {spec.name} have no article, for example {min(missing)}.",
                action="Name the file of articles with --articles.",
            )
        rated[spec.name] = average(own, spec.dimension_names)
    return rated


def stratify(
    ids: Sequence[str], origin: Mapping[str, str], rated: Mapping[str, Rated], specs: Sequence[FilterSpec]
) -> dict[str, str]:
    """Stratum by id: its source and the rarest filter that it is relevant to."""
    relevant: dict[str, list[str]] = {}
    for spec in specs:
        labels = rated[spec.name]
        for name, row in zip(labels.ids, labels.scores, strict=True):
            scores = dict(zip(spec.dimension_names, map(float, row), strict=True))
            if weigh(spec, scores).value >= spec.gate.relevant_at:
                relevant.setdefault(spec.name, []).append(name)
    strata = {name: origin[name] for name in ids}
    for filter_name in sorted(relevant, key=lambda name: -len(relevant[name])):
        for name in relevant[filter_name]:
            strata[name] = f"{origin[name]}/{filter_name}"
    return strata


def embed_cached(articles: Sequence[Article], encode: EncodeTexts, cache: Path) -> Array:
    """Embeddings in the order of `articles`; texts seen before are read from `cache` (an .npz file)."""
    hashes = [content_hash(article) for article in articles]
    known: dict[str, Array] = {}
    if cache.is_file():
        with np.load(cache) as stored:
            known = dict(zip(stored["hashes"].tolist(), stored["embeddings"], strict=True))
    missing = [at for at, digest in enumerate(hashes) if digest not in known]
    if missing:
        fresh = encode([model_text(articles[at]) for at in missing])
        known |= {hashes[at]: vector for at, vector in zip(missing, fresh, strict=True)}
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, hashes=np.array(list(known)), embeddings=np.stack(list(known.values())))
    return np.stack([known[digest] for digest in hashes]).astype(np.float32)
