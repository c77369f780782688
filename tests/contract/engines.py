"""Every engine that this machine can run, by name. Each behaviour is tested once, over all of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.engines.bert import BertWeights
from models.engines.gemma import GemmaWeights
from models.engines.openvino_bert import openvino_bert
from models.engines.openvino_gemma import openvino_gemma
from models.engines.protocol import Engine
from models.engines.torch_bert import TorchBert
from models.engines.torch_gemma import TorchGemma
from models.engines.torch_packed import PackedGemma
from models.processor import processor

ScorerFactory = Callable[[Path, Path | None, int], Engine]
EncoderFactory = Callable[[Path], Engine]

needs_bf16 = pytest.mark.skipif(not processor().bf16, reason="no bf16 in hardware: emulated it takes minutes")


def openvino_scorer(number_type: str) -> ScorerFactory:
    return lambda base, adapter, tokens: openvino_gemma(GemmaWeights(base, adapter), tokens, processor(), number_type)


def torch_scorer(number_type: str) -> ScorerFactory:
    return lambda base, adapter, tokens: TorchGemma(GemmaWeights(base, adapter), tokens, number_type)


def packed_scorer(pass_tokens: int) -> ScorerFactory:
    """The GPU's engine on the CPU."""
    return lambda base, adapter, tokens: PackedGemma(GemmaWeights(base, adapter), tokens, "f32", "cpu", pass_tokens)


SCORERS = [
    pytest.param(openvino_scorer("f32"), 2e-4, id="openvino-f32"),
    pytest.param(openvino_scorer("bf16"), 0.15, id="openvino-bf16", marks=needs_bf16),
    pytest.param(torch_scorer("f32"), 2e-4, id="torch-f32"),
    pytest.param(torch_scorer("bf16"), 0.15, id="torch-bf16", marks=needs_bf16),
]
"""Factory, and how far a state may be from fp32 torch, whose own mean magnitude is about 1."""

ENCODERS = [
    pytest.param(lambda base: openvino_bert(BertWeights(base), processor(), "f32"), 1e-5, id="openvino-f32"),
    pytest.param(
        lambda base: openvino_bert(BertWeights(base), processor(), "bf16"), 0.02, id="openvino-bf16", marks=needs_bf16
    ),
    pytest.param(lambda base: TorchBert(BertWeights(base)), 1e-5, id="torch-f32"),
]
