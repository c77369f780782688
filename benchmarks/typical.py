"""The typical path that the engines are measured against: what a first script for six PEFT filters looks like.

transformers in fp32, adapters one after another, batches of 16 in order of arrival, padded to the longest.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.engines.protocol import States

BATCH = 16


class TypicalPath:
    """One PEFT model; scoring n filters means n calls of `score`."""

    def __init__(self, base: Path, adapter: Path, max_tokens: int) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._torch, self._max_tokens = torch, max_tokens
        self._tokenizer = AutoTokenizer.from_pretrained(base)
        self._tokenizer.padding_side = "right"
        causal = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        self._model: Any = PeftModel.from_pretrained(causal, adapter).eval()

    def score(self, texts: Sequence[str]) -> States:
        """Last-token states, [n, hidden]."""
        return np.concatenate([self._batch(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)])

    def _batch(self, texts: Sequence[str]) -> States:
        torch = self._torch
        inputs = self._tokenizer(
            list(texts), return_tensors="pt", padding=True, truncation=True, max_length=self._max_tokens
        )
        with torch.inference_mode():
            inner = self._model.base_model.model.model
            hidden = inner(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
        last = inputs["attention_mask"].sum(dim=1) - 1
        states: States = hidden[torch.arange(len(last)), last].numpy()
        return states
