"""Candidates: trained packages that wait for their release, and the data on which they can be judged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson

from core.errors import PackageError
from core.inventory import list_entries
from core.package import MANIFEST, load_manifest, load_package, prompt_hash
from core.releases import find_package
from core.settings import Settings
from core.spec import load_spec
from models.heads import load_head
from offline.dataset import Array
from offline.label_store import LabelStore, LabelStoreError, Snapshot, StoredLabel
from offline.predictions import Learned, predict
from offline.release import Predict
from offline.training.corpus import Source, load_library
from offline.training.features import Report
from offline.training.packages import Draft
from offline.training.pipeline import Order, articles_of, gather, train_filter
from offline.training.settled import open_trunk, settled_sides
from offline.training.workshop import Workshop
from offline.versions import current_folder

_SOURCES = "sources.json"


@dataclass(frozen=True)
class Candidate:
    """A trained package, the oracle's weighted scores [n] on its held-out articles, and what predicts them."""

    folder: Path
    truth: Array
    predict: Predict
    labels: int


def candidate_folder(settings: Settings, name: str) -> Path:
    return settings.home / "candidates" / name


def open_workshop(settings: Settings, report: Report = lambda *_: None) -> Workshop:
    """Base models and caches of this machine."""
    return Workshop(settings, settings.home / "training", report)


def order_from_store(settings: Settings, name: str, at: Snapshot) -> Order:
    """The filter's own parts from all labels of a snapshot, on the trunk that its active version uses."""
    folder = current_folder(settings.filters, name)
    draft = Draft(folder, load_spec(folder / "config.yaml"))
    source = export_source(LabelStore(settings.label_store), draft, at, candidate_folder(settings, name))
    target = candidate_folder(settings, name) / name / draft.spec.version
    return Order(draft, (source,), trunk_of(settings, folder), target, {})


def remember_sources(settings: Settings, name: str, sources: tuple[Source, ...]) -> None:
    """Note what the candidate was trained on, so that `release` judges it on the same held-out side."""
    path = candidate_folder(settings, name) / _SOURCES
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [[s.name, str(s.articles.resolve()), str(s.labels.resolve())] for s in sources]
    path.write_bytes(orjson.dumps(entries))


def remembered_sources(settings: Settings, name: str) -> tuple[Source, ...]:
    """Empty where nothing is noted or a file is gone."""
    path = candidate_folder(settings, name) / _SOURCES
    entries = orjson.loads(path.read_bytes()) if path.is_file() else []
    sources = tuple(Source(title, Path(articles), Path(labels)) for title, articles, labels in entries)
    return sources if all(s.articles.is_file() and s.labels.is_file() for s in sources) else ()


def train_from_store(settings: Settings, name: str, at: Snapshot, workshop: Workshop) -> Candidate:
    order = order_from_store(settings, name, at)
    train_filter(order, workshop)
    return open_candidate(settings, order, workshop)


def candidate_of(settings: Settings, name: str, folder: Path | None, files: tuple[Source, ...]) -> Candidate:
    """A candidate trained before, judged on the held-out side of `files`, else of what it was trained on, else of
    the label store.

    Args:
        folder: of the candidate; None: where `train_from_store` leaves it.
    """
    workshop = open_workshop(settings)
    if files := files or remembered_sources(settings, name):
        current = current_folder(settings.filters, name)
        draft = Draft(current, load_spec(current / "config.yaml"))
        order = Order(draft, files, trunk_of(settings, folder or current), current, {})
    else:
        order = order_from_store(settings, name, LabelStore(settings.label_store).snapshot())
    target = folder or candidate_folder(settings, name) / name / order.draft.spec.version
    if not (target / MANIFEST).is_file():
        raise PackageError(f"{target}: no trained candidate.", action=f"Train one: `stillhouse train {name}`.")
    return open_candidate(settings, replace(order, target=target), workshop)


def open_candidate(settings: Settings, order: Order, workshop: Workshop) -> Candidate:
    """The candidate of an order, ready to be compared on the order's held-out side."""
    spec = order.draft.spec
    library = load_library(order.sources, [spec], workshop.embed, settled_sides(order.trunk))
    trunk, _ = open_trunk(order.trunk)
    articles = articles_of(library, spec)
    data = gather(library, spec, workshop.trunk_states(trunk, articles), order.importance)
    held_out = [articles[row] for row in data.test]

    def predict_with(folder: Path) -> Array:
        package = load_package(folder)
        other, _ = open_trunk(trunk_of(settings, folder))
        states = workshop.trunk_states(other, held_out)
        features = np.concatenate([states, data.embeddings[data.test]], axis=1)
        learned = load_learned(folder, features.shape[1], data.embeddings.shape[1])
        names = package.spec.dimension_names
        if names != spec.dimension_names:
            raise PackageError(f"{folder}: has dimensions {names}.", action="Only like filters can be compared.")
        return predict(learned, features, states.shape[1], gates=False).weighted

    return Candidate(order.target, data.oracle[data.test], predict_with, len(data.ids))


def load_learned(folder: Path, features: int, embedding: int) -> Learned:
    """The learned parts of a package. Args: widths of the head's and of the probe's input."""
    package = load_package(folder)
    outputs = len(package.spec.dimensions)
    return Learned(
        spec=package.spec,
        head=load_head(folder / "head.safetensors", features, outputs),
        probe=load_head(folder / "probe.safetensors", embedding, outputs + 1),
        calibration=package.calibration,
        intervals=package.intervals,
        gate=package.gate,
    )


def trunk_of(settings: Settings, package: Path) -> Path:
    """Folder of the trunk that a package names; for a draft, the newest trunk there is."""
    if (package / MANIFEST).is_file() and (named := load_manifest(package)[0].trunk):
        return find_package(settings.filters, f"trunks/{named.name}", named.version)
    trunks = [entry for entry in list_entries(settings.filters) if entry.kind == "trunk" and not entry.shadowed]
    trained = [entry.folder for entry in trunks if (entry.folder / MANIFEST).is_file()]
    if not trained:
        raise PackageError("No trained trunk in the filter folders.", action="Restore filters/trunks.")
    return trained[-1]


def export_source(store: LabelStore, draft: Draft, at: Snapshot, folder: Path) -> Source:
    """The snapshot's labels of one filter as the pair of files that training reads."""
    stored = store.labels(draft.spec.name, at=at)
    labels = usable_labels(stored, draft)
    if not labels:
        raise LabelStoreError(
            f"{store.url} holds {len(stored)} labels of {draft.spec.name}, none of them by its present rubric.",
            action="Import some (`stillhouse labels import FILE`), or restore prompt.md and the dimensions.",
        )
    articles = store.articles(at)
    labels = [label for label in labels if label.article_id in articles]
    wanted = sorted({label.article_id for label in labels})
    folder.mkdir(parents=True, exist_ok=True)
    source = Source("store", folder / "store_articles.jsonl", folder / "store_labels.jsonl")
    _write_lines(source.articles, [articles[name].to_dict() for name in wanted])
    _write_lines(source.labels, [label.to_dict() for label in labels])
    return source


def usable_labels(labels: Sequence[StoredLabel], draft: Draft) -> list[StoredLabel]:
    """Labels of any version that were made by the present rubric: retraining changes the version, not the question."""
    prompt = draft.folder / "prompt.md"
    rubric = prompt_hash(prompt.read_text(encoding="utf-8")) if prompt.is_file() else None
    return [
        replace(label, version=draft.spec.version)
        for label in labels
        if set(label.scores) == set(draft.spec.dimension_names) and label.prompt_hash in (None, rubric)
    ]


def _write_lines(path: Path, records: Sequence[dict[str, object]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
