"""`bench engine`: every engine of this machine against the typical path, with parity and the share of peak."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parity import compare, tolerance
from benchmarks.peak import PeakProduct
from benchmarks.timing import Timing, interleaved
from benchmarks.typical import TypicalPath
from core.article import Article
from core.cascade import Cascade, ScorerInput
from core.errors import StillhouseError
from core.inventory import TRUNKS
from core.package import load_manifest
from core.releases import find_package
from core.settings import Settings
from core.text import model_text
from models.engines.gemma import GemmaWeights
from models.engines.openvino_gemma import openvino_gemma
from models.engines.protocol import Engine
from models.engines.torch_gemma import TorchGemma
from models.processor import NumberType, Processor, processor
from models.registry import load_cascade
from models.scorer import FilterHead, HeadScorer
from models.text_engine import TextEngine, load_tokenizer, load_trunk
from models.tokens import token_ids
from models.weights import base_model

FILTER_COUNTS = (1, 6, 12)
TYPICAL = "typical"


@dataclass(frozen=True)
class EnginePlan:
    """`typical`: how many of the articles the typical path gets."""

    articles: Sequence[Article]
    typical: int
    repeats: int


@dataclass(frozen=True)
class _Bench:
    base: Path
    adapter: Path
    max_tokens: int
    cascade: Cascade
    machine: Processor


def measure_engines(settings: Settings, plan: EnginePlan) -> dict[str, Any]:
    """All figures as one JSON-able mapping."""
    bench = _prepare(settings)
    inputs = _inputs(bench.cascade, plan.articles)
    trunks = {name: load_trunk(engine, bench.base, bench.max_tokens) for name, engine in _engines(bench).items()}
    typical = TypicalPath(bench.base, bench.adapter, bench.max_tokens)
    few = inputs[:: max(1, len(inputs) // plan.typical)][: plan.typical]
    texts = [item.text for item in few]
    fastest = next(iter(trunks))
    sizes = {fastest: inputs}
    candidates: dict[str, Callable[[], object]] = {TYPICAL: lambda: typical.score(texts)}
    for name, trunk in trunks.items():
        for count in FILTER_COUNTS if name == fastest else FILTER_COUNTS[1:2]:
            candidates[f"{name} x{count}"] = _scoring(bench, trunk, sizes.get(name, few), count)
    timings = interleaved(candidates, plan.repeats)
    one = timings[TYPICAL].wall_sec / len(few)
    rows = [(name, *name.rsplit(" x", 1)) for name in candidates if name != TYPICAL]
    return {
        "processor": str(bench.machine),
        "articles": len(inputs),
        "typical_articles": len(few),
        "typical_articles_per_sec": {str(count): round(1 / one / count, 4) for count in FILTER_COUNTS},
        "engines": [
            {"engine": engine, **_row(timings[name], len(sizes.get(engine, few)), int(count), one)}
            for name, engine, count in rows
        ],
        "peak": _share_of_peak(bench, inputs, plan.repeats),
        "parity": _parity(bench, trunks, inputs),
    }


def _prepare(settings: Settings) -> _Bench:
    cascade = load_cascade(settings, gates=False)
    return _Bench(base_model(settings).path, *trunk_of(settings, cascade), cascade, processor())


def trunk_of(settings: Settings, cascade: Cascade) -> tuple[Path, int]:
    """Adapter folder and token limit of the trunk that the active filters share."""
    trunks = [(n, version) for n, (version, _) in cascade.releases.versions.items() if n.startswith(f"{TRUNKS}/")]
    if not trunks:
        raise StillhouseError("No active filter has a trunk.", action="Release filters that were trained on one.")
    folder = find_package(settings.filters, *trunks[0])
    manifest, _ = load_manifest(folder)
    return folder / "adapter", manifest.max_tokens or 512


def _engines(bench: _Bench) -> dict[str, Engine]:
    """Fastest first; fp32 torch, the reference of the parity figures, last."""
    weights, machine = GemmaWeights(bench.base, bench.adapter), bench.machine
    kinds: list[NumberType] = ["bf16", "f32"] if machine.bf16 else ["f32"]
    engines: list[Engine] = [openvino_gemma(weights, bench.max_tokens, machine, kind) for kind in kinds]
    engines += [TorchGemma(weights, bench.max_tokens, kind) for kind in kinds]
    return {engine.name: engine for engine in engines}


def _inputs(cascade: Cascade, articles: Sequence[Article]) -> list[ScorerInput]:
    gated = cascade.embed(articles)
    return [ScorerInput(model_text(item.article), item.embedding, tuple(cascade.packages)) for item in gated]


def _heads(cascade: Cascade, count: int) -> dict[str, FilterHead]:
    """`count` filters: the active ones, repeated under other names where there are fewer."""
    scorer = cascade.models.scorer
    assert isinstance(scorer, HeadScorer)
    known = list(scorer.heads.values())
    return {f"filter-{i}": FilterHead("bench", known[i % len(known)].head) for i in range(count)}


def _scoring(bench: _Bench, trunk: TextEngine, inputs: Sequence[ScorerInput], count: int) -> Callable[[], object]:
    """Tokenise, one pass, heads; the trunk's cache is emptied before each run."""
    heads = _heads(bench.cascade, count)
    scorer = HeadScorer({"bench": trunk}, heads)
    asked = [ScorerInput(item.text, item.embedding, tuple(heads)) for item in inputs]

    def run() -> object:
        trunk.forget()
        return scorer.score(asked)

    return run


def _row(timing: Timing, articles: int, filters: int, typical_sec: float) -> dict[str, Any]:
    """`typical_sec`: what the typical path takes for one article and one filter."""
    per_article = timing.wall_sec / articles
    return {
        "filters": filters,
        "articles_per_sec": round(1 / per_article, 2),
        "cpu_ms_per_article": round(1000 * timing.cpu_sec / articles, 1),
        "times_typical": round(typical_sec * filters / per_article, 1),
    }


def _share_of_peak(bench: _Bench, inputs: Sequence[ScorerInput], repeats: int) -> dict[str, Any]:
    """Articles of 400-500 tokens through the fastest engine, against a large product in the same number type."""
    weights = GemmaWeights(bench.base, bench.adapter)
    engine = openvino_gemma(weights, 512, bench.machine)
    text = " ".join(item.text for item in inputs)
    ids = token_ids(load_tokenizer(bench.base), text[:200_000], 100_000)
    lengths = [400 + 100 * i // 7 for i in range(8)]
    rows = [ids[at * 500 : at * 500 + length] for at, length in enumerate(lengths) if len(ids) > 500 * (at + 1)]
    product = PeakProduct(bench.machine.number_type)
    flops = sum(weights.shape.flops(len(row)) for row in rows)
    shares, cpu_shares, achieved = [], [], []
    product.flops_per_sec()
    engine.states(rows)
    for _ in range(repeats):
        peak_wall, peak_cpu = product.flops_per_sec()
        timing = interleaved({"states": lambda: engine.states(rows)}, 1)["states"]
        achieved.append(flops / timing.wall_sec)
        shares.append(achieved[-1] / peak_wall)
        cpu_shares.append(bench.machine.cores * flops / timing.cpu_sec / peak_cpu)
    return {
        "number_type": bench.machine.number_type,
        "achieved_gflops": round(statistics.median(achieved) / 1e9, 1),
        "share_of_peak": round(statistics.median(shares), 3),
        "share_of_peak_by_cpu_time": round(statistics.median(cpu_shares), 3),
    }


def _parity(bench: _Bench, trunks: Mapping[str, TextEngine], inputs: Sequence[ScorerInput]) -> dict[str, Any]:
    """Each engine's calibrated scores against fp32 torch."""
    scorer = bench.cascade.models.scorer
    assert isinstance(scorer, HeadScorer)
    heads = {name: FilterHead("bench", head.head) for name, head in scorer.heads.items()}
    packages = bench.cascade.packages
    raw = {name: HeadScorer({"bench": trunk}, heads).score(inputs) for name, trunk in trunks.items()}
    reference = raw["torch-cpu-f32"]
    found = {name: compare(packages, outputs, reference) for name, outputs in raw.items() if outputs is not reference}
    return {
        "bounds": tolerance(),
        "engines": found,
    }
