"""The filter's config.yaml as a validated model: every key is read by code, unknown keys are errors."""

import math
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.errors import PackageError

Status = Literal["production", "development", "draft"]
Score = Annotated[float, Field(ge=0, le=10)]
Share = Annotated[float, Field(ge=0, le=1)]

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
VERSION_PATTERN = re.compile(r"v[0-9]{1,4}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dimension(_Strict):
    """One score that the oracle gives and the scorer learns, 0-10."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    weight: Share
    meaning: str


class Tier(_Strict):
    """Articles whose weighted score reaches `at_least` (and no higher tier) belong to this tier."""

    name: str
    at_least: Score


class Gatekeeper(_Strict):
    """If `dimension` is below `below`, the weighted score is capped at `cap`."""

    dimension: str
    below: Score
    cap: Score


class Prefilter(_Strict):
    """Rules that close this filter before any model runs. No keyword rules: they dropped 21.6% of positives."""

    min_chars: int = Field(default=0, ge=0)
    languages: tuple[str, ...] = ()
    exclude_sources: tuple[str, ...] = ()


class GatePolicy(_Strict):
    """The probe closes a filter only where it misses at most `max_miss_rate` of the relevant articles."""

    relevant_at: Score = 2.0
    max_miss_rate: Share = 0.02


class RoutingPolicy(_Strict):
    """How articles are chosen for the oracle: see core/routing.py."""

    margin: Annotated[float, Field(ge=0, le=5)] = 0.5
    near_threshold_rate: Share = 0.5
    audit_rate: Share = 0.005
    budget_share: Share = 1.0


class Bars(_Strict):
    """What a candidate must reach on held-out data before it may be released."""

    max_mae: Annotated[float, Field(gt=0)] | None = None
    min_spearman: Annotated[float, Field(ge=-1, le=1)] | None = None
    min_average_precision: Share | None = None


class FilterSpec(_Strict):
    """config.yaml of one filter version."""

    name: str = Field(pattern=f"^{NAME_PATTERN.pattern}$")
    version: str = Field(pattern=f"^{VERSION_PATTERN.pattern}$")
    status: Status
    description: str
    dimensions: tuple[Dimension, ...] = Field(min_length=1)
    tiers: tuple[Tier, ...] = Field(min_length=1)
    gatekeepers: tuple[Gatekeeper, ...] = ()
    prefilter: Prefilter = Prefilter()
    gate: GatePolicy = GatePolicy()
    routing: RoutingPolicy = RoutingPolicy()
    bars: Bars = Bars()

    @field_validator("dimensions")
    @classmethod
    def _weights_sum_to_one(cls, dimensions: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
        names = [dimension.name for dimension in dimensions]
        if len(set(names)) != len(names):
            raise ValueError(f"dimension names repeat: {names}")
        total = math.fsum(dimension.weight for dimension in dimensions)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"weights of the dimensions sum to {total:g}, not to 1")
        return dimensions

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        for gatekeeper in self.gatekeepers:
            if gatekeeper.dimension not in self.dimension_names:
                raise ValueError(f"gatekeeper names {gatekeeper.dimension!r}, which is not a dimension")
        limits = [tier.at_least for tier in self.tiers]
        if limits != sorted(limits, reverse=True) or len(set(limits)) != len(limits):
            raise ValueError("tiers must be listed from the highest at_least to the lowest, without repeats")
        return self

    @cached_property
    def dimension_names(self) -> tuple[str, ...]:
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def weights(self) -> tuple[float, ...]:
        return tuple(dimension.weight for dimension in self.dimensions)


def load_spec(path: Path) -> FilterSpec:
    """Read and validate config.yaml; the error names the file and each faulty key."""
    try:
        return FilterSpec.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PackageError(f"{path}: {error.strerror}.", action="Restore the file or remove the package.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PackageError(f"{path}: not valid YAML: {error}.", action="Correct the file.") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise PackageError(f"{path}: {faults}.", action="Correct the keys named.") from error
