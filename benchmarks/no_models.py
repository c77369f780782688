"""A cascade whose models cost nothing: answers drawn beforehand, spread as those of held-out articles are."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.calibration import Curve, Stage
from core.cascade import Cascade, Models, ProbeOutput, ScorerInput
from core.commerce import CommerceThresholds
from core.package import FilterPackage, load_package
from core.releases import ReleaseSet, find_package, load_activation
from core.settings import Settings

Vector = NDArray[np.float32]
_WIDTH = 384
_ANSWERS = 997
"""Prime, so that batches do not meet the same answers again."""


class NoEncoder:
    """One fixed vector for every text."""

    width = _WIDTH

    def __init__(self) -> None:
        self._vector = np.full(_WIDTH, _WIDTH**-0.5, dtype=np.float32)

    def encode(self, texts: Sequence[str]) -> Vector:
        return np.broadcast_to(self._vector, (len(texts), _WIDTH))


class NoProbes:
    def __init__(self, packages: Mapping[str, FilterPackage]) -> None:
        self._answers = itertools.cycle(
            {name: ProbeOutput(1.0, raw) for name, raw in answer.items()} for answer in _answers(packages, "probe")
        )

    def commerce(self, embedding: Vector) -> float:
        return 0.0

    def predict(self, embedding: Vector) -> Mapping[str, ProbeOutput]:
        return next(self._answers)


class NoScorer:
    def __init__(self, packages: Mapping[str, FilterPackage]) -> None:
        self._answers = itertools.cycle(_answers(packages, "scorer"))

    def score(self, inputs: Sequence[ScorerInput]) -> list[Mapping[str, Vector]]:
        return list(itertools.islice(self._answers, len(inputs)))


def cascade_without_models(settings: Settings) -> Cascade:
    """The active packages with gates open: every filter is calibrated from the scorer."""
    active = load_activation(settings.filters)
    found = {n: load_package(find_package(settings.filters, n, v)) for n, v in sorted(active.filters.items())}
    versions = ReleaseSet({name: (p.spec.version, p.manifest_sha256) for name, p in found.items()})
    models = Models(NoEncoder(), NoProbes(found), NoScorer(found), CommerceThresholds(rejected_at=1.01))
    return Cascade(versions, found, models, gates=False)


def _answers(packages: Mapping[str, FilterPackage], stage: Stage) -> Iterator[dict[str, Vector]]:
    """Raw outputs by filter: the knots of a calibration curve lie as the held-out articles' outputs do."""
    rng = np.random.default_rng(0)
    for _ in range(_ANSWERS):
        share = rng.random()
        yield {
            name: np.array(
                [_knot(p.calibration.curves(stage).get(d), share) for d in p.spec.dimension_names], np.float32
            )
            for name, p in packages.items()
        }


def _knot(curve: Curve | None, share: float) -> float:
    return curve.x[int(share * len(curve.x))] if curve else 10 * share
