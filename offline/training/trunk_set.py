"""A trunk and every filter on it, trained as one set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.commerce import COMMERCE
from core.spec import load_spec
from models.heads import Perceptron
from offline.training.adapter import export_adapter
from offline.training.commerce_package import train_commerce
from offline.training.corpus import Library, load_library, recipe_sources
from offline.training.joint import Paths, train
from offline.training.joint_model import validate
from offline.training.packages import Draft, Origin, TrunkParts, write_trunk
from offline.training.pipeline import Order, train_filter
from offline.training.recipes import load_recipe
from offline.training.settled import importance_of
from offline.training.trunk import Progress, TrunkTrainer
from offline.training.workshop import Workshop


def train_set(
    trunk: Path, data: Path, filters: Path, workshop: Workshop, report: Callable[[Progress], None]
) -> dict[str, dict[str, Any]]:
    """A trunk and every filter of its recipe, written into `filters` as one set."""
    recipe = load_recipe(trunk / "recipe.yaml")
    trainer, library = run_trunk(trunk, data, workshop, report)
    target = filters / "trunks" / recipe.name / recipe.version
    write_trained_trunk(trainer, trunk, library, workshop, target)
    sources = tuple(recipe_sources(recipe, trunk, data))
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


def run_trunk(
    trunk: Path, data: Path, workshop: Workshop, report: Callable[[Progress], None]
) -> tuple[TrunkTrainer, Library]:
    """Train the trunk of a folder with a recipe, or continue its last run."""
    recipe = load_recipe(trunk / "recipe.yaml")
    specs = [load_spec(trunk.parents[2] / name / "config.yaml") for name in recipe.filters]
    library = load_library(recipe_sources(recipe, trunk, data), specs, workshop.embed)
    paths = Paths(workshop.base.path, workshop.cache / f"run-{recipe.name}-{recipe.version}")
    return train(library, recipe, paths, report), library


def write_trained_trunk(trainer: TrunkTrainer, trunk: Path, library: Library, workshop: Workshop, target: Path) -> str:
    """The package from the averaged weights of a run, with the recipe and the labels that lie in the folder `trunk`."""
    recipe = load_recipe(trunk / "recipe.yaml")
    settings = recipe.training
    trainer.use_average()
    parts = TrunkParts(
        given=[trunk / "recipe.yaml", *(trunk / source.labels for source in recipe.sources if source.labels)],
        heads=trainer_heads(trainer),
        sides=dict(library.sides),
        metrics={"step": trainer.step, "validation": validate(trainer.model, trainer.corpus)},
        write_adapter=lambda folder: export_adapter(
            trainer.model.trunk, folder, settings.rank, settings.alpha, workshop.base.model_id
        ),
    )
    origin = Origin(workshop.base_ref, workshop.encoder_ref, None, settings.max_tokens)
    return write_trunk(recipe.name, recipe.version, parts, origin, target)


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
