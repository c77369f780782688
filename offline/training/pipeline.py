"""From labelled articles to packages. Each step is cached or checkpointed, so a killed run goes on where it was."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.commerce import COMMERCE
from core.spec import FilterSpec, load_spec
from core.text import model_text
from models.heads import Perceptron
from offline.calibration import out_of_fold
from offline.dataset import Array, DatasetError
from offline.evaluation import HeldOut, evaluate
from offline.floors import FLOORS, floor_scores
from offline.predictions import Learned, predict
from offline.training.adapter import export_adapter
from offline.training.card import known_failures, model_card
from offline.training.commerce_package import train_commerce
from offline.training.corpus import Library, Source, load_library
from offline.training.fit import FilterData, Fitted, fit_filter
from offline.training.joint import Paths, train
from offline.training.joint_model import validate
from offline.training.packages import Draft, Facts, Origin, TrunkParts, write_filter, write_trunk
from offline.training.recipes import TrunkRecipe, load_recipe
from offline.training.settled import importance_of, joint_head, open_trunk, settled_sides
from offline.training.trunk import Progress, TrunkTrainer
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


def run_trunk(
    recipe_path: Path, data: Path, filters: Path, workshop: Workshop, report: Callable[[Progress], None]
) -> tuple[TrunkTrainer, TrunkRecipe, Library]:
    """Train the trunk of a recipe, or continue its last run."""
    recipe = load_recipe(recipe_path)
    specs = [load_spec(filters / name / "config.yaml") for name in recipe.filters]
    library = load_library(sources_in(data, [s.name for s in recipe.sources]), specs, workshop.embed)
    paths = Paths(workshop.base.path, workshop.cache / f"run-{recipe.name}-{recipe.version}")
    return train(library, recipe, paths, report), recipe, library


def write_trained_trunk(
    trainer: TrunkTrainer, recipe: TrunkRecipe, library: Library, workshop: Workshop, target: Path
) -> str:
    """The trunk's package from the averaged weights of a run."""
    settings = recipe.training
    trainer.use_average()
    parts = TrunkParts(
        recipe=target / "recipe.yaml",
        heads=trainer_heads(trainer),
        sides=dict(library.sides),
        metrics={"step": trainer.step, "validation": validate(trainer.model, trainer.corpus)},
        write_adapter=lambda folder: export_adapter(
            trainer.model.trunk, folder, settings.rank, settings.alpha, workshop.base.model_id
        ),
    )
    origin = Origin(workshop.base_ref, workshop.encoder_ref, None, settings.max_tokens)
    return write_trunk(recipe.name, recipe.version, parts, origin, target)


def train_set(
    trunk: Path, data: Path, filters: Path, workshop: Workshop, report: Callable[[Progress], None]
) -> dict[str, dict[str, Any]]:
    """A trunk and every filter of its recipe, written into `filters` as one set."""
    trainer, recipe, library = run_trunk(trunk / "recipe.yaml", data, trunk.parents[2], workshop, report)
    target = filters / "trunks" / recipe.name / recipe.version
    if target != trunk:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trunk / "recipe.yaml", target / "recipe.yaml")
    write_trained_trunk(trainer, recipe, library, workshop, target)
    sources = tuple(sources_in(data, [source.name for source in recipe.sources]))
    reports: dict[str, dict[str, Any]] = {}
    for name in recipe.filters:
        folder = trunk.parents[2] / name
        draft = Draft(folder, load_spec(folder / "config.yaml"))
        if draft.spec.name == COMMERCE:
            reports[name] = train_commerce(draft, sources, workshop, target, filters / name)
        else:
            order = Order(draft, sources, target, filters / name, importance_of(target))
            reports[name] = train_filter(order, workshop)
    return reports


def trainer_heads(trainer: TrunkTrainer) -> dict[str, Perceptron]:
    """Each filter's rows of the joint head, back on the oracle's scale."""
    model, targets = trainer.model, trainer.corpus.targets
    weight, bias = model.head.weight.detach().cpu().numpy(), model.head.bias.detach().cpu().numpy()
    mean, scale = targets.mean.cpu().numpy(), targets.scale.cpu().numpy()
    width = weight.shape[1]
    heads = {}
    for part in targets.parts:
        rows = part.dims
        count = rows.stop - rows.start
        heads[part.spec.name] = Perceptron(
            center=model.center.cpu().numpy(),
            scale=model.spread.cpu().numpy(),
            skip=np.ascontiguousarray(weight[rows] * scale[rows, None]),
            bias=bias[rows] * scale[rows] + mean[rows],
            hidden=np.zeros((0, width), dtype=np.float32),
            hidden_bias=np.zeros(0, dtype=np.float32),
            out=np.zeros((count, 0), dtype=np.float32),
        )
    return heads


def sources_in(data: Path, names: Sequence[str] = ()) -> list[Source]:
    """Pairs of X_articles.jsonl and X_labels.jsonl in a folder; all of them, or those named."""
    wanted = list(names) or sorted(path.name.removesuffix("_labels.jsonl") for path in data.glob("*_labels.jsonl"))
    sources = [Source(name, data / f"{name}_articles.jsonl", data / f"{name}_labels.jsonl") for name in wanted]
    for source in sources:
        for path in (source.articles, source.labels):
            if not path.is_file():
                raise DatasetError(
                    f"{path}: missing.", action="Name a folder with x_articles.jsonl and x_labels.jsonl."
                )
    if not sources:
        raise DatasetError(f"{data}: holds no *_labels.jsonl.", action="Name the file with --labels FILE.")
    return sources
