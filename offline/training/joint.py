"""One run of the trunk's training: library and recipe in, checkpoint out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from core.text import model_text
from models.processor import processor
from models.tokens import token_ids
from offline.training.corpus import Library
from offline.training.gemma import Trunk
from offline.training.joint_model import Corpus
from offline.training.recipes import TrunkRecipe
from offline.training.targets import build_targets, weighted_scores
from offline.training.trunk import Progress, TrunkTrainer

_COMPILE_FROM_STEPS = 200
"""Shorter runs do not earn back the 40 s that torch.compile takes."""


@dataclass(frozen=True)
class Paths:
    """base: folder of Gemma in transformers' format. run: checkpoints of this run."""

    base: Path
    run: Path


def tokenize(library: Library, base: Path, max_tokens: int) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [token_ids(tokenizer, model_text(library.articles[name]), max_tokens) for name in library.ids]


def build_corpus(library: Library, recipe: TrunkRecipe, tokens: list[list[int]]) -> Corpus:
    importance = {source.name: source.importance for source in recipe.sources}
    training = library.on("train")
    easy = easy_ids(library)
    share = recipe.training.easy_share
    targets = build_targets(
        library.ids,
        [(library.specs[name], library.rated[name]) for name in library.specs],
        {name: importance[library.origin[name]] / (share if name in easy else 1) for name in library.ids},
        {library.ids[row] for row in training},
    )
    passes = []
    for source in recipe.sources:
        rows = [row for row in training if library.origin[library.ids[row]] == source.name]
        passes.append(([row for row in rows if library.ids[row] not in easy], source.share))
        passes.append(([row for row in rows if library.ids[row] in easy], source.share * share))
    # Validation during the run looks at the first source alone: the feed as it is.
    val = [row for row in library.on("val") if library.origin[library.ids[row]] == recipe.sources[0].name]
    return Corpus(tokens, torch.from_numpy(library.embeddings), targets, passes, val)


def easy_ids(library: Library) -> set[str]:
    """Articles below half of what counts as relevant in every filter that rates them."""
    easy = set(library.ids)
    for name, spec in library.specs.items():
        rated = library.rated[name]
        weighted = weighted_scores(spec, rated.scores)
        easy -= {i for i, score in zip(rated.ids, weighted, strict=True) if score >= spec.gate.relevant_at / 2}
    return easy


def number_type() -> torch.dtype:
    fast = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else processor().bf16
    return torch.bfloat16 if fast else torch.float32


def train(library: Library, recipe: TrunkRecipe, paths: Paths, report: Callable[[Progress], None]) -> TrunkTrainer:
    """Train, or continue from the checkpoint in `paths.run`."""
    settings = recipe.training
    corpus = build_corpus(library, recipe, tokenize(library, paths.base, settings.max_tokens))
    trunk = Trunk(paths.base, settings.rank, settings.alpha, number_type(), settings.seed)
    if settings.top_layers:
        trunk.adapt_top(settings.top_layers)
    if settings.steps >= _COMPILE_FROM_STEPS:
        trunk.compile()
    trainer = TrunkTrainer(trunk, corpus, settings, paths.run)
    trainer.run(report)
    trainer.use_average()
    return trainer
