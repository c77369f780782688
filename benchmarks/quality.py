"""`bench quality`: what an engine costs. Ranking of held-out labelled articles, against fp32 torch throughout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.engine import trunk_of
from core.article import Article
from core.cascade import Cascade, ScorerInput
from core.errors import StillhouseError
from core.package import FilterPackage
from core.scoring import weigh
from core.settings import PROJECT, Settings
from core.text import model_text
from models.engines.bert import BertWeights
from models.engines.gemma import GemmaWeights
from models.engines.torch_bert import TorchBert
from models.engines.torch_gemma import TorchGemma
from models.registry import load_cascade
from models.scorer import FilterHead, HeadScorer
from models.text_engine import load_encoder, load_trunk
from models.weights import base_model, encoder_model
from offline.dataset import average, read_articles, read_labels
from offline.metrics import ranking
from offline.training.targets import weighted_scores

DATA = PROJECT.parent / "shared" / "data"
BOUND = 0.01
"""How far the rank correlation with the labels may lie from that of the fp32 path."""

_SETS = ("lenses", "written")
Scores = NDArray[np.float64]


def measure_quality(settings: Settings, data: Path | None, count: int) -> dict[str, Any]:
    """Spearman of every filter's weighted score with the labels, by the serving engine and by fp32 torch."""
    folder, cascade = data or DATA, load_cascade(settings, gates=False)
    files = [folder / f"{name}_{kind}.jsonl" for kind in ("articles", "labels") for name in _SETS]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise StillhouseError(f"No labelled articles: {', '.join(missing)}.", action="Name their folder with --data.")
    adapter, tokens = trunk_of(settings, cascade)
    held_out = _held_out(adapter.parent / "split.json")
    articles = {i: a for i, a in read_articles(files[: len(_SETS)]).items() if i in held_out}
    ids = sorted(articles)[:: max(1, len(articles) // count)][:count]
    chosen = [articles[name] for name in ids]
    served = _weighted(cascade, cascade.models.encoder.encode, cascade.models.scorer, chosen)
    embed, scorer = _reference(settings, cascade, adapter, tokens)
    exact = _weighted(cascade, embed, scorer, chosen)
    labels = read_labels(files[len(_SETS) :])
    rows: list[dict[str, Any]] = []
    for name, package in cascade.packages.items():
        rated = average((x for x in labels if x.filter == name), package.spec.dimension_names).keep(ids)
        places = [ids.index(one) for one in rated.ids]
        truth, at = weighted_scores(package.spec, rated.scores), package.spec.gate.relevant_at
        ours, theirs = (_correlation(name, found[name][places], truth, at) for found in (served, exact))
        rows.append({"filter": name, "articles": len(places), "served": ours, "fp32": theirs, "apart": ours - theirs})
    return {
        "engine": cascade.models.engine,
        "bound": BOUND,
        "within": all(abs(row["apart"]) <= BOUND for row in rows),
        "filters": rows,
    }


def _correlation(name: str, guess: Scores, truth: Scores, relevant_at: float) -> float:
    if len(truth) < 2 or "spearman" not in (found := ranking(guess, truth, relevant_at)):
        raise StillhouseError(
            f"{name}: {len(truth)} labelled articles are ranked, and all alike.", action="Take more: --count."
        )
    return found["spearman"]


def _held_out(file: Path) -> set[str]:
    """Articles that neither trunk nor heads have learned from."""
    sides: dict[str, str] = orjson.loads(file.read_bytes())
    return {name for name, side in sides.items() if side == "test"}


def _reference(settings: Settings, cascade: Cascade, adapter: Path, tokens: int) -> tuple[Any, HeadScorer]:
    """Encoder and scorer with the same heads, all in fp32 torch."""
    served = cascade.models.scorer
    assert isinstance(served, HeadScorer)
    base, encoder = base_model(settings), encoder_model(settings)
    ref = next(p.manifest.encoder for p in cascade.packages.values() if p.manifest.encoder)
    trunk = load_trunk(TorchGemma(GemmaWeights(base.path, adapter), tokens, "f32"), base.path, tokens)
    heads = {name: FilterHead("trunk", part.head) for name, part in served.heads.items()}
    return load_encoder(TorchBert(BertWeights(encoder.path)), encoder.path, ref).encode, HeadScorer(
        {"trunk": trunk}, heads
    )


def _weighted(cascade: Cascade, embed: Any, scorer: Any, articles: Sequence[Article]) -> dict[str, Scores]:
    """Calibrated weighted scores by filter, [articles]."""
    texts = [model_text(article) for article in articles]
    names = tuple(cascade.packages)
    outputs = scorer.score([ScorerInput(t, v, names) for t, v in zip(texts, embed(texts), strict=True)])
    return {
        name: np.array([_value(package, raw[name]) for raw in outputs]) for name, package in cascade.packages.items()
    }


def _value(package: FilterPackage, raw: NDArray[np.float32]) -> float:
    spec = package.spec
    return weigh(spec, package.calibration.apply("scorer", spec.dimension_names, raw)).value
