"""The oracle that the settings name."""

import os
from pathlib import Path

from core.errors import SettingsError
from core.settings import Settings
from models.oracle.ask import Asker, AskPolicy
from models.oracle.ledger import Ledger, Origin
from models.oracle.pause import Backoff
from models.oracle.pricing import FREE, Price, price_of
from models.oracle.provider import Provider

_KEY_VARIABLES = {"gemini": "GEMINI_API_KEY", "openai": "OPENAI_API_KEY"}


def ledger_path(settings: Settings) -> Path:
    return settings.state / "oracle.db"


def why_not_ready(settings: Settings) -> str | None:
    """One line that says what the oracle lacks, None where it can be asked."""
    if settings.oracle == "gemini" and not api_key(settings):
        return "GEMINI_API_KEY is not set: oracle requests stay on their topic."
    if settings.oracle == "openai" and not settings.oracle_base_url:
        return "STILLHOUSE_ORACLE_BASE_URL is not set: oracle requests stay on their topic."
    if settings.oracle == "replay" and not settings.oracle_replay:
        return "STILLHOUSE_ORACLE_REPLAY is not set: oracle requests stay on their topic."
    return None


def api_key(settings: Settings) -> str | None:
    """The key in the settings, else the provider's usual variable."""
    if settings.oracle_api_key:
        return settings.oracle_api_key.get_secret_value()
    variable = _KEY_VARIABLES.get(settings.oracle)
    return os.environ.get(variable) or None if variable else None


def load_asker(settings: Settings, origin: Origin, *, concurrency: int | None = None) -> Asker:
    """Raises SettingsError where `why_not_ready` says so, or where the price is unknown."""
    if lack := why_not_ready(settings):
        raise SettingsError(lack, action="Set it, or choose another oracle with STILLHOUSE_ORACLE.")
    policy = AskPolicy(
        origin,
        concurrency=concurrency or settings.oracle_concurrency,
        backoff=Backoff(patience_sec=settings.oracle_timeout_sec),
    )
    price = oracle_price(settings)
    return Asker(load_provider(settings), Ledger(ledger_path(settings)), price, policy)


def oracle_price(settings: Settings) -> Price:
    if settings.oracle == "replay":
        return FREE
    return price_of(settings.oracle_model, settings.oracle_input_usd_per_mtok, settings.oracle_output_usd_per_mtok)


def load_provider(settings: Settings) -> Provider:
    if settings.oracle == "gemini":
        from models.oracle.gemini import GeminiOptions, GeminiProvider

        return GeminiProvider(
            GeminiOptions(
                model=settings.oracle_model,
                api_key=api_key(settings) or "",
                temperature=settings.oracle_temperature,
                thinking_tokens=settings.oracle_thinking_tokens,
                timeout_sec=settings.oracle_timeout_sec,
                base_url=settings.oracle_base_url,
            )
        )
    if settings.oracle == "openai":
        from models.oracle.openai import OpenAIOptions, OpenAIProvider

        return OpenAIProvider(
            OpenAIOptions(
                model=settings.oracle_model,
                base_url=settings.oracle_base_url or "",
                api_key=api_key(settings),
                temperature=settings.oracle_temperature,
                timeout_sec=settings.oracle_timeout_sec,
                strict_schema="deepseek" not in settings.oracle_model,
            )
        )
    from models.oracle.replay import ReplayProvider

    return ReplayProvider(settings.oracle_replay or Path())
