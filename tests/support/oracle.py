"""Askers and questions for the oracle's tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from core.article import Article
from core.spec import FilterSpec
from models.oracle.ask import Asker, AskPolicy
from models.oracle.gemini import GeminiOptions, GeminiProvider
from models.oracle.ledger import Ledger
from models.oracle.openai import OpenAIOptions, OpenAIProvider
from models.oracle.pause import Backoff
from models.oracle.pricing import price_of
from models.oracle.prompt import Question
from models.oracle.provider import Provider
from models.oracle.rubric import Rubric
from tests.support.fake_gemini import FakeGemini
from tests.support.specs import CONFIG

PRICE = price_of("gemini-2.5-flash", None, None)
FAST = Backoff(first_sec=0.01, longest_sec=0.05, patience_sec=60.0)


def rubric(name: str = "demo") -> Rubric:
    return Rubric(FilterSpec.model_validate(CONFIG | {"name": name}), "Score what is there.", "hash-of-prompt")


def question(text: str = "The river was cleaned in 2014.", *names: str, identifier: str = "a1") -> Question:
    return Question(Article(identifier, "", text), tuple(rubric(name) for name in names or ("demo",)))


def provider(kind: str, fake: FakeGemini, timeout_sec: float = 60.0) -> Provider:
    if kind == "gemini":
        return GeminiProvider(GeminiOptions("gemini-2.5-flash", "key", timeout_sec=timeout_sec, base_url=fake.url))
    return OpenAIProvider(OpenAIOptions("local", fake.url, timeout_sec=timeout_sec))


@asynccontextmanager
async def asker(
    kind: str, fake: FakeGemini, home: Path, *, timeout_sec: float = 60.0, backoff: Backoff = FAST
) -> AsyncIterator[Asker]:
    policy = AskPolicy("stream", concurrency=16, backoff=backoff)
    opened = Asker(provider(kind, fake, timeout_sec), Ledger(home / "oracle.db"), PRICE, policy)
    try:
        yield opened
    finally:
        await opened.close()
