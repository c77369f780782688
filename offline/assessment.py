"""Evaluates a package on disk: its held-out articles, or a whole labelled file that it has never seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.package import FilterPackage, load_package
from models.heads import load_head
from offline.predictions import Learned
from offline.training.corpus import Source, load_library
from offline.training.fit import FilterData
from offline.training.pipeline import articles_of, assess, gather
from offline.training.settled import open_trunk, settled_sides
from offline.training.workshop import Workshop

On = Literal["held-out", "all"]


def assess_package(
    folder: Path, trunk_folder: Path, sources: tuple[Source, ...], workshop: Workshop, on: On
) -> dict[str, Any]:
    """The report of offline.evaluation for the package in `folder`.

    Args:
        on: "held-out": the test side of the split, floors fitted on its training side. "all": every article of the
            files, for labels that the package has not been trained on; floors are then cross-validated.
    """
    package = load_package(folder)
    trunk, _ = open_trunk(trunk_folder)
    library = load_library(sources, [package.spec], workshop.embed, settled_sides(trunk_folder))
    states = workshop.trunk_states(trunk, articles_of(library, package.spec))
    data = gather(library, package.spec, states, {})
    rows = data.test if on == "held-out" else np.arange(len(data.ids))
    return assess(library, replace(data, test=rows), load_parts(package, data), cross_validate=on == "all")


def load_parts(package: FilterPackage, data: FilterData) -> Learned:
    outputs = len(package.spec.dimensions)
    return Learned(
        spec=package.spec,
        head=load_head(package.folder / "head.safetensors", data.features.shape[1], outputs),
        probe=load_head(package.folder / "probe.safetensors", data.embeddings.shape[1], outputs + 1),
        calibration=package.calibration,
        intervals=package.intervals,
        gate=package.gate,
    )
