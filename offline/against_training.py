"""Embeds articles with the training's own cache, for what compares them: backtest, drift, screening."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.article import Article
from core.package import MANIFEST
from core.scoring import weigh
from core.settings import Settings
from core.spec import FilterSpec
from models.heads import Perceptron
from offline.backtest import Pool
from offline.candidates import open_workshop
from offline.dataset import Array, DatasetError, average, read_articles, read_labels
from offline.drift import Drift, mean_shift, mix_psi, score_psi
from offline.label_store import LabelStore, StoredLabel
from offline.screening import Pick, screen
from offline.versions import current_folder, current_spec


def labelled_pool(settings: Settings, name: str, articles_file: Path, labels_file: Path) -> Pool:
    """Embeddings and mean labels of one filter's labelled articles."""
    spec = current_spec(settings.filters, name)
    articles = read_articles([articles_file])
    own = [label for label in read_labels([labels_file]) if label.filter == name and label.article_id in articles]
    if not own:
        raise DatasetError(f"{labels_file}: no label of {name} with an article.", action="Name the right files.")
    rated = average(own, spec.dimension_names)
    embeddings = open_workshop(settings).embed([articles[article_id] for article_id in rated.ids])
    return Pool(spec, embeddings, rated.scores)


def measure_drift(settings: Settings, name: str, articles_file: Path) -> Drift:
    """Recent articles against those that the label store holds for the filter."""
    store = LabelStore(settings.label_store)
    known = store.articles()
    reference = [known[i] for i in sorted({label.article_id for label in store.labels(name)} & known.keys())]
    live = list(read_articles([articles_file]).values())
    if not reference or not live:
        raise DatasetError(
            f"{name}: {len(reference)} training and {len(live)} recent articles.", action="Both are needed."
        )
    workshop = open_workshop(settings)
    before, now = workshop.embed(reference), workshop.embed(live)
    probe = probe_scores(settings, name, before), probe_scores(settings, name, now)
    return Drift(
        reference=len(reference),
        live=len(live),
        probe_psi=score_psi(probe[0], probe[1]) if probe[0] is not None and probe[1] is not None else None,
        language_psi=mix_psi([a.language for a in reference], [a.language for a in live]),
        source_psi=mix_psi([a.source for a in reference], [a.source for a in live]),
        embedding_shift=mean_shift(before, now),
    )


def screen_file(settings: Settings, name: str, articles_file: Path, top: int) -> list[tuple[Pick, Article]]:
    """The articles of a file that are most worth a label, best first."""
    spec = current_spec(settings.filters, name)
    store = LabelStore(settings.label_store)
    labels = store.labels(name) if store.exists() else []
    known = store.articles() if store.exists() else {}
    labelled = [known[i] for i in sorted({label.article_id for label in labels} & known.keys())]
    candidates = [a for i, a in read_articles([articles_file]).items() if i not in known]
    workshop = open_workshop(settings)
    vectors, seen = workshop.embed(candidates), workshop.embed(labelled) if labelled else np.zeros((0, 384), np.float32)
    relevant = relevant_ids(spec, labels)
    positives = seen[[article.id in relevant for article in labelled]] if labelled else seen
    picks = screen(vectors, positives, seen, probe_scores(settings, name, vectors), top)
    return [(pick, candidates[pick.row]) for pick in picks]


def relevant_ids(spec: FilterSpec, labels: Sequence[StoredLabel]) -> set[str]:
    """Articles that at least one label finds relevant."""
    whole = [label for label in labels if set(label.scores) == set(spec.dimension_names)]
    return {label.article_id for label in whole if weigh(spec, label.scores).value >= spec.gate.relevant_at}


def probe_scores(settings: Settings, name: str, embeddings: Array) -> Array | None:
    """[n] gate logits of the active version's probe; None for a draft."""
    folder = current_folder(settings.filters, name)
    if not (folder / MANIFEST).is_file():
        return None
    probe = Perceptron.load(folder / "probe.safetensors")
    return probe.rows(embeddings)[:, -1]
