"""Which engine runs: the settings' choice, else what suits the machine."""

import importlib.util
import logging
from pathlib import Path
from typing import Literal

from models.engines.bert import BertWeights
from models.engines.gemma import GemmaWeights
from models.engines.protocol import Engine
from models.processor import processor

log = logging.getLogger(__name__)
EngineChoice = Literal["auto", "openvino", "torch", "cuda"]


def resolve(choice: EngineChoice) -> EngineChoice:
    """`auto`: CUDA where torch sees a device, else OpenVINO, else torch.

    torch is asked for CUDA only where NVIDIA's driver is loaded: importing it takes 2 s.
    """
    if choice != "auto":
        return choice
    if Path("/proc/driver/nvidia/version").exists():
        import torch

        if torch.cuda.is_available():
            return "cuda"
    return "openvino" if importlib.util.find_spec("openvino") else "torch"


def scorer_engine(choice: EngineChoice, weights: GemmaWeights, max_tokens: int, graphs: Path | None) -> Engine:
    """The engine of one base model with one adapter."""
    machine = processor()
    log.info("scorer on %s: %s", resolve(choice), machine)
    match resolve(choice):
        case "openvino":
            from models.engines.openvino_gemma import openvino_gemma

            return openvino_gemma(weights, max_tokens, machine, cache=graphs)
        case "cuda":
            from models.engines.torch_packed import PackedGemma

            return PackedGemma(weights, max_tokens)
        case _:
            from models.engines.torch_gemma import TorchGemma

            return TorchGemma(weights, max_tokens, machine.number_type)


def encoder_engine(choice: EngineChoice, weights: BertWeights, graphs: Path | None) -> Engine:
    match resolve(choice):
        case "openvino":
            from models.engines.openvino_bert import openvino_bert

            return openvino_bert(weights, processor(), cache=graphs)
        case resolved:
            from models.engines.torch_bert import TorchBert

            return TorchBert(weights, "cuda" if resolved == "cuda" else "cpu")
