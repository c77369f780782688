"""Labels and articles in and out of the label store, as JSONL."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from core.article import Article
from core.text import content_hash
from offline.dataset import read_articles, read_jsonl
from offline.label_store import Entry, LabelStore, LabelStoreError, Origin, Snapshot, StoredLabel
from offline.stored import label_from_record


@dataclass(frozen=True, slots=True)
class Imported:
    """`known` labels were in the store (or earlier in the file); `orphans` have no article anywhere."""

    articles: int
    labels: int
    known: int
    orphans: int


def companion(labels: Path) -> Path | None:
    """The articles that belong to `x_labels.jsonl` by name: `x_articles.jsonl` beside it."""
    other = labels.with_name(labels.name.replace("labels", "articles"))
    return other if other != labels and other.is_file() else None


def import_labels(store: LabelStore, labels_file: Path, articles_file: Path | None) -> Imported:
    """Add a labelled file. Importing it again, or a longer version of it, adds only what is new."""
    articles = read_articles([articles_file]) if articles_file else {}
    stored = store.labels() if store.exists() else []
    known = {label.identity for label in stored}
    have = set(store.articles()) if store.exists() else set()
    fresh: dict[str, StoredLabel] = {}
    total = 0
    for number, record in enumerate(read_jsonl(labels_file), 1):
        total += 1
        try:
            label = label_from_record(record)
        except LabelStoreError as error:
            raise LabelStoreError(f"{labels_file}:{number}: {error.message}", action=error.action) from error
        if label.identity not in known:
            fresh.setdefault(label.identity, label)
    appended = store.append(_entries(_digest(labels_file, articles_file), articles, fresh.values()))
    orphans = {label.article_id for label in fresh.values()} - articles.keys() - have
    return Imported(appended.articles, appended.labels, total - len(fresh), len(orphans))


def export_labels(
    store: LabelStore, out: Path, articles_out: Path | None, filter_name: str | None = None, at: Snapshot | None = None
) -> tuple[int, int]:
    """Write labels (and their articles) as JSONL; returns how many of each."""
    labels = store.labels(filter_name, at=at)
    _write(out, (label.to_dict() for label in labels))
    if articles_out is None:
        return len(labels), 0
    wanted = {label.article_id for label in labels}
    articles = [article.to_dict() for name, article in store.articles(at).items() if name in wanted]
    _write(articles_out, articles)
    return len(labels), len(articles)


def statistics(store: LabelStore) -> dict[str, Any]:
    """Counts and cost by filter version, and the name of the present snapshot."""
    labels = store.labels()
    groups: dict[tuple[str, str], list[StoredLabel]] = defaultdict(list)
    for label in labels:
        groups[label.filter, label.version].append(label)
    return {
        "url": store.url,
        "snapshot": str(store.snapshot()),
        "articles": len(store.articles()),
        "labels": len(labels),
        "cost_usd": round(sum(label.cost_usd for label in labels), 4),
        "filters": [
            {
                "filter": name,
                "version": version,
                "labels": len(group),
                "articles": len({label.article_id for label in group}),
                "oracles": dict(Counter(label.oracle for label in group).most_common()),
                "reasons": dict(Counter(label.reason or "imported" for label in group).most_common()),
                "cost_usd": round(sum(label.cost_usd for label in group), 4),
                "latest": max((label.time.isoformat() for label in group if label.time), default=None),
            }
            for (name, version), group in sorted(groups.items())
        ],
    }


def _entries(digest: str, articles: dict[str, Article], labels: Iterable[StoredLabel]) -> list[Entry]:
    """One entry per article; all share one position, so a repeated import of the same files is dropped whole."""
    origin = Origin(f"import/{digest}", 0)
    by_article: dict[str, list[StoredLabel]] = defaultdict(list)
    for label in labels:
        by_article[label.article_id].append(label)
    entries = []
    for name in articles.keys() | by_article.keys():
        article = articles.get(name)
        content = content_hash(article) if article else None
        entries.append(Entry(origin, article, [replace(label, content=content) for label in by_article[name]]))
    return entries


def _digest(*files: Path | None) -> str:
    digest = hashlib.sha256()
    for file in filter(None, files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def _write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.writelines(orjson.dumps(record) + b"\n" for record in records)


def read_labelled(
    store: LabelStore, labels_file: Path | None, articles_file: Path | None
) -> tuple[list[StoredLabel], dict[str, Article]]:
    """Labels and articles of a file, or of the store where no file is named."""
    if labels_file is None:
        return store.labels(), store.articles()
    articles_file = articles_file or companion(labels_file)
    articles = read_articles([articles_file]) if articles_file else {}
    return [label_from_record(record) for record in read_jsonl(labels_file)], articles
