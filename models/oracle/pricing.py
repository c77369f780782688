"""What a call costs: exactly from the usage that the provider reports, roughly before the call is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import SettingsError

if TYPE_CHECKING:
    from models.oracle.prompt import Prompt

BATCH_DISCOUNT = 0.5
"""The Batch API costs half."""

_CHARS_PER_TOKEN = 3.5
_OUTPUT_TOKENS_PER_DIMENSION = 55
_LEARNING_RATE = 0.05


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `cached_tokens` are part of `input_tokens`; thinking counts as output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float
    cached: float | None = None

    def cost_usd(self, usage: Usage) -> float:
        fresh = usage.input_tokens - usage.cached_tokens
        cached = self.input if self.cached is None else self.cached
        return (fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output) / 1e6


FREE = Price(0.0, 0.0)

# List prices as of 2026-03, prompts below 200k tokens. The settings override them.
_PRICES: Mapping[str, Price] = {
    "gemini-2.5-pro": Price(1.25, 10.0, 0.125),
    "gemini-2.5-flash": Price(0.30, 2.50, 0.03),
    "gemini-2.5-flash-lite": Price(0.10, 0.40, 0.01),
    "gemini-2.0-flash": Price(0.10, 0.40, 0.025),
    "deepseek-chat": Price(0.28, 0.42, 0.028),
}


def price_of(model: str, input_usd_per_mtok: float | None, output_usd_per_mtok: float | None) -> Price:
    """The price in the settings, else the list price. An unknown price is an error: a budget needs one."""
    if input_usd_per_mtok is not None and output_usd_per_mtok is not None:
        return Price(input_usd_per_mtok, output_usd_per_mtok)
    if model in _PRICES:
        return _PRICES[model]
    raise SettingsError(
        f"The price of oracle model {model!r} is not known, so no budget can be kept.",
        action="Set STILLHOUSE_ORACLE_INPUT_USD_PER_MTOK and STILLHOUSE_ORACLE_OUTPUT_USD_PER_MTOK (0 if it is free).",
    )


class Estimator:
    """Expected cost of a call from the length of its prompt, corrected by what calls turned out to cost."""

    def __init__(self, price: Price) -> None:
        self._price = price
        self._correction = 1.0

    def expect_usd(self, prompt: "Prompt") -> float:
        return self._correction * self._plain(prompt)

    def learn(self, prompt: "Prompt", cost_usd: float) -> None:
        """Move the correction towards what one call of this prompt cost."""
        if (plain := self._plain(prompt)) > 0:
            self._correction += _LEARNING_RATE * (cost_usd / plain - self._correction)

    def _plain(self, prompt: "Prompt") -> float:
        dimensions = sum(len(names) for names in prompt.question.dimensions.values())
        chars = len(prompt.system) + len(prompt.user)
        return self._price.cost_usd(Usage(int(chars / _CHARS_PER_TOKEN), dimensions * _OUTPUT_TOKENS_PER_DIMENSION))
