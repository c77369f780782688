"""Everything a training run reads: articles, labels per filter, encoder embeddings, split."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.article import Article
from core.scoring import weigh
from core.spec import FilterSpec
from offline.dataset import Array, DatasetError, Label, Rated, average, read_articles, read_labels
from offline.splits import Side, near_duplicate_groups, split
from offline.training.recipes import TrunkRecipe

EmbedArticles = Callable[[Sequence[Article]], Array]
"""Articles to unit vectors [n, width]."""


@dataclass(frozen=True)
class Source:
    """One pair of JSONL files. held_out: whether the split may keep some of it for the test."""

    name: str
    articles: Path
    labels: Path
    held_out: bool = True


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
    oracles: frozenset[str]

    def on(self, side: Side) -> list[int]:
        return [row for row, name in enumerate(self.ids) if self.sides[name] == side]

    def rows(self, ids: Sequence[str]) -> list[int]:
        place = {name: row for row, name in enumerate(self.ids)}
        return [place[name] for name in ids]


def load_library(
    sources: Sequence[Source],
    specs: Sequence[FilterSpec],
    embed: EmbedArticles,
    fixed: Mapping[str, Side] | None = None,
    seed: int = 0,
) -> Library:
    """Read, embed and split. An article belongs to the first source that labels it. `fixed`: sides settled before."""
    articles: dict[str, Article] = {}
    origin: dict[str, str] = {}
    labels: list[Label] = []
    for source in sources:
        given = read_labels([source.labels])
        for label in given:
            origin.setdefault(label.article_id, source.name)
        for name, article in read_articles([source.articles]).items():
            articles.setdefault(name, article)
        labels += given
    rated = rate(labels, specs, articles)
    used = {name for filter_labels in rated.values() for name in filter_labels.ids}
    ids = tuple(name for name in articles if name in used)
    embeddings = embed([articles[name] for name in ids])
    strata = stratify(ids, origin, rated, specs)
    tested = {source.name for source in sources if source.held_out}
    untested = {name for name in ids if origin[name] not in tested}
    sides = split(ids, near_duplicate_groups(embeddings), strata, seed, fixed, untested)
    if empty := {"train", "val", "test"} - set(sides.values()):
        raise DatasetError(
            f"{len(ids)} articles leave the {' and the '.join(sorted(empty))} side of the split empty: they are too "
            "few, or near-duplicates of each other.",
            action="Label more articles that differ.",
        )
    return Library(
        ids, articles, origin, embeddings, sides, rated, {spec.name: spec for spec in specs}, _oracles(labels, specs)
    )


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


def _oracles(labels: Sequence[Label], specs: Sequence[FilterSpec]) -> frozenset[str]:
    names = {spec.name for spec in specs}
    return frozenset(label.oracle for label in labels if label.filter in names)


def sources_in(data: Path) -> list[Source]:
    """All pairs of X_articles.jsonl and X_labels.jsonl in a folder."""
    names = sorted(path.name.removesuffix("_labels.jsonl") for path in data.glob("*_labels.jsonl"))
    if not names:
        raise DatasetError(f"{data}: holds no *_labels.jsonl.", action="Name the file with --labels FILE.")
    return _present(Source(name, data / f"{name}_articles.jsonl", data / f"{name}_labels.jsonl") for name in names)


def recipe_sources(recipe: TrunkRecipe, folder: Path, data: Path) -> list[Source]:
    """The pairs of files that a recipe names. folder: of the recipe, with the labels that come with it."""
    return _present(
        Source(
            source.name,
            data / f"{source.name}_articles.jsonl",
            folder / source.labels if source.labels else data / f"{source.name}_labels.jsonl",
            source.held_out,
        )
        for source in recipe.sources
    )


def _present(sources: Iterable[Source]) -> list[Source]:
    """The sources, if all their files are there."""
    found = list(sources)
    for source in found:
        for path in (source.articles, source.labels):
            if not path.is_file():
                raise DatasetError(
                    f"{path}: missing.", action="Name a folder with x_articles.jsonl and x_labels.jsonl."
                )
    return found
