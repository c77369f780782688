"""A trunk's recipe.yaml: which filters, which data, how long."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import PackageError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(_Strict):
    """Everything that changes the result.

    The learning rate warms up, stays, and falls linearly over the last `decay_share` of the steps: `steps` may be
    changed for a run that is resumed before it falls (Haegele et al. 2024). Early stopping lets it fall sooner.
    """

    steps: int = Field(ge=1)
    rank: int = 16
    alpha: float = 32.0
    top_layers: int | None = Field(default=None, ge=1)
    """LoRA on the last so many layers alone; without it on all of them."""
    max_tokens: int = 320
    batch_size: int = 16
    token_budget: int = 2048
    lora_lr: float = 3e-4
    head_lr: float = 1.5e-4
    weight_decay: float = 0.01
    warmup_steps: int = 30
    decay_share: float = 0.3
    easy_share: float = Field(default=1.0, gt=0, le=1)
    """Part of the articles irrelevant to every filter that a pass meets; their weight rises by as much."""
    average_decay: float = 0.98
    clip_norm: float = 1.0
    seed: int = 0
    patience: int = Field(default=3, ge=0)
    """Validations without a better one after which the learning rate begins to fall; 0 never stops early."""
    validate_every_steps: int = Field(default=100, ge=1)


class SourceSpec(_Strict):
    """`name`_articles.jsonl and `name`_labels.jsonl of the data folder."""

    name: str
    share: float = Field(default=1.0, gt=0, le=1)
    importance: float = Field(default=1.0, gt=0)
    labels: str | None = None
    """A file beside the recipe to read the labels from: labels that come with the trunk."""
    held_out: bool = True
    """Whether some of its articles are kept for the test. Articles chosen where a model was unsure would make it one of
    that model."""


class TrunkRecipe(_Strict):
    name: str
    version: str
    filters: tuple[str, ...]
    sources: tuple[SourceSpec, ...]
    training: Training


def load_recipe(path: Path) -> TrunkRecipe:
    """Read recipe.yaml; the error names the file and each faulty key."""
    try:
        return TrunkRecipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PackageError(f"{path}: {error.strerror}.", action="Name a trunk with a recipe.yaml.") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise PackageError(f"{path}: {error}", action="Correct the keys named.") from error
