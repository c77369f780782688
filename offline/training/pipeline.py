"""From labelled articles to one filter's package. Features are cached, so a killed run goes on where it was."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.spec import FilterSpec
from core.text import model_text
from offline.calibration import out_of_fold
from offline.dataset import Array, DatasetError
from offline.evaluation import HeldOut, evaluate
from offline.floors import FLOORS, floor_scores
from offline.predictions import Learned, predict
from offline.training.card import known_failures, model_card
from offline.training.corpus import Library, Source, load_library
from offline.training.fit import FilterData, Fitted, fit_filter
from offline.training.packages import Draft, Facts, Origin, write_filter
from offline.training.settled import joint_head, open_trunk, settled_sides
from offline.training.workshop import Workshop

SMALLEST_SET = 60
"""Below this the validation and test sides are too small to calibrate or to show anything."""


@dataclass(frozen=True)
class Order:
    """One filter to train. importance: weight by source name, 1 where not named."""

    draft: Draft
    sources: tuple[Source, ...]
    trunk: Path
    target: Path
    importance: Mapping[str, float]


def train_filter(order: Order, workshop: Workshop) -> dict[str, Any]:
    """Fit one filter on a released trunk, evaluate it on its held-out articles, and write its package."""
    spec = order.draft.spec
    trunk, trunk_ref = open_trunk(order.trunk)
    library = load_library(order.sources, [spec], workshop.embed, settled_sides(order.trunk))
    if len(library.ids) < SMALLEST_SET:
        raise DatasetError(
            f"{spec.name}: {len(library.ids)} labelled articles.", action=f"Label at least {SMALLEST_SET}."
        )
    data = gather(library, spec, workshop.trunk_states(trunk, articles_of(library, spec)), order.importance)
    fitted = fit_filter(data, joint_head(order.trunk, spec.name, data.features.shape[1], len(spec.dimensions)))
    report = assess(library, data, fitted.learned(spec))
    facts = _facts(library, data, report, fitted)
    origin = Origin(workshop.base_ref, workshop.encoder_ref, trunk_ref, trunk.max_tokens)
    write_filter(order.draft, fitted, origin, facts, order.target)
    return report


def articles_of(library: Library, spec: FilterSpec) -> list[Any]:
    return [library.articles[name] for name in library.rated[spec.name].ids]


def gather(library: Library, spec: FilterSpec, states: Any, importance: Mapping[str, float]) -> FilterData:
    """Arrays of one filter. Args: states: [n, hidden] in the order of its labels."""
    rated = library.rated[spec.name]
    sides = np.array([library.sides[name] for name in rated.ids])
    factors = np.array([importance.get(library.origin[name], 1.0) for name in rated.ids], dtype=np.float32)
    trust = rated.annotators / (rated.annotators + 0.25)
    return FilterData(
        spec=spec,
        ids=rated.ids,
        features=np.concatenate([states, library.embeddings[library.rows(rated.ids)]], axis=1),
        state_width=states.shape[1],
        truth=rated.scores,
        weights=factors * trust * rated.weights,
        train=np.nonzero(sides == "train")[0],
        val=np.nonzero(sides == "val")[0],
        test=np.nonzero(sides == "test")[0],
    )


def assess(library: Library, data: FilterData, learned: Learned, cross_validate: bool = False) -> dict[str, Any]:
    """The evaluation on the test rows, all floors beside it.

    Args:
        cross_validate: fit the floors on the test rows themselves, out of fold, instead of on the training rows.
    """
    test = data.test
    floors = _floors(library, data, cross_validate)
    held_out = HeldOut(
        spec=data.spec,
        rated=library.rated[data.spec.name].keep(data.ids[row] for row in test),
        languages=[library.articles[data.ids[row]].language or "unknown" for row in test],
        sources=[library.origin[data.ids[row]] for row in test],
        floors={name: scores[test] for name, scores in floors.items()},
    )
    features = data.features[test]
    return evaluate(
        held_out,
        predict(learned, features, data.state_width, gates=False),
        predict(learned, features, data.state_width, gates=True),
    )


def _floors(library: Library, data: FilterData, cross_validate: bool) -> dict[str, Array]:
    texts = [model_text(article) for article in articles_of(library, data.spec)]
    if not cross_validate:
        return floor_scores(texts, data.embeddings, data.truth, data.train)

    def fit_predict(fit: NDArray[np.int64], rest: NDArray[np.int64]) -> Array:
        floors = floor_scores(texts, data.embeddings, data.truth, fit)
        return np.stack([scores[rest] for scores in floors.values()], axis=1)

    every = out_of_fold(len(texts), fit_predict)
    return {name: every[:, at] for at, name in enumerate(FLOORS)}


def _facts(library: Library, data: FilterData, report: dict[str, Any], fitted: Fitted) -> Facts:
    counts = Counter(library.origin[name] for name in data.ids)
    facts = {
        "train": len(data.train),
        "val": len(data.val),
        "test": len(data.test),
        "sources": dict(counts),
        "oracles": sorted(library.oracles),
        "sha256": fingerprint(data),
    }
    kept = ("mae", "spearman", "average_precision", "mae_relevant", "spread", "relevant")
    metrics = {
        "test": {name: round(report["weighted"][name], 4) for name in kept if name in report["weighted"]},
        "floors": {
            floor: {name: round(found[name], 4) for name in kept[:3] if name in found}
            for floor, found in report["floors"].items()
        },
        "intervals": report["intervals"],
        "gate": report["gate"],
        "head": fitted.choice,
    }
    return Facts(facts, metrics, model_card(data.spec, report, facts, known_failures(report)))


def fingerprint(data: FilterData) -> str:
    """sha256 over ids, scores and sides: equal fingerprints mean equal training data."""
    digest = hashlib.sha256("\n".join(data.ids).encode())
    for part in (data.truth, data.train, data.val, data.test):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
