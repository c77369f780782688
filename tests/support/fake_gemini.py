"""A local server that speaks the Gemini REST format (and OpenAI's chat) and behaves like the measured API.

The figures are those of 7,925 real calls: 95.7% answered, p50 2.95 s, p95 11.8 s, 7.2% retried; failures were bad
JSON, API errors and timeouts. `speed` scales the time. The fate of an article follows from its text and the seed, so
that processes that are killed and started again meet the same API.
"""

import asyncio
import contextlib
import hashlib
import json
import math
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

P50_SEC, P95_SEC = 2.95, 11.8
_SIGMA = math.log(P95_SEC / P50_SEC) / 1.645
_ARTICLE = re.compile(r"<(article-[0-9a-f]{12})>\n(.*)\n</\1>", re.DOTALL)


@dataclass(frozen=True)
class Rates:
    """Shares of articles. `retried` fail once and then succeed; `bad_json` always; `timeout` never answer."""

    bad_json: float = 0.037
    unavailable: float = 0.0
    timeout: float = 0.0003
    retried: float = 0.072


PERFECT = Rates(bad_json=0, timeout=0, retried=0)


@dataclass(frozen=True)
class Asked:
    """One call as the server saw it."""

    text: str
    dimensions: dict[str, list[str]]
    call: int
    body: dict[str, Any]


@dataclass
class FakeGemini:
    """Behaviour and books of the server. `answer` overrides the answer's text or gives a whole response."""

    rates: Rates = PERFECT
    speed: float = 1_000_000.0
    seed: int = 1
    answer: Callable[[Asked], str | Response | None] | None = None
    calls: Counter[str] = field(default_factory=Counter)
    good: Counter[str] = field(default_factory=Counter)
    paid_usd: float = 0.0
    refuse_with: int | None = None
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    batch_polls: int = 1
    url: str = ""

    async def gemini(self, request: Request) -> Response:
        body = await request.json()
        system = "".join(part["text"] for part in body["systemInstruction"]["parts"])
        user = "".join(part["text"] for part in body["contents"][0]["parts"])
        return await self._serve(user, body["generationConfig"]["responseJsonSchema"], body, system, _gemini_reply)

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        system, user = (message["content"] for message in body["messages"])
        schema = body["response_format"].get("json_schema", {}).get("schema") or {"properties": {}}
        return await self._serve(user, schema, body, system, _chat_reply)

    async def _serve(self, user: str, schema: Any, body: Any, system: str, wrap: Callable[..., Response]) -> Response:
        text = _ARTICLE.search(user)[2]
        self.calls[text] += 1
        asked = Asked(text, dimensions_of(schema), self.calls[text], body)
        if self.refuse_with:
            return _error(self.refuse_with)
        answer = self.answer(asked) if self.answer else None
        if isinstance(answer, Response):
            return answer
        fate = self._fate(text)
        await asyncio.sleep(math.exp(math.log(P50_SEC) + _SIGMA * fate.gauss(0, 1)) / self.speed)
        draw, retried = fate.random(), fate.random() < self.rates.retried
        if draw < self.rates.timeout:
            await asyncio.sleep(3600 / self.speed + 30)
        if retried and asked.call == 1:
            return _error(fate.choice([429, 500, 503]))
        if answer is None:
            bad = draw > 1 - self.rates.bad_json
            answer = '{"cut off": ' if bad else good_answer(asked)
            self.good[text] += not bad
        tokens = (len(system + user) // 4, 50 * sum(map(len, asked.dimensions.values())))
        self.paid_usd += (tokens[0] * 0.30 + tokens[1] * 2.50) / 1e6
        return wrap(answer, *tokens)

    def _fate(self, text: str) -> random.Random:
        return random.Random(hashlib.sha256(f"{self.seed}|{text}".encode()).digest())

    async def create_batch(self, request: Request) -> Response:
        body = await request.json()
        name = f"batches/b{len(self.batches)}"
        self.batches[name] = {"body": body["batch"], "polls": 0}
        return JSONResponse(self._batch(name))

    async def list_batches(self, request: Request) -> Response:
        return JSONResponse({"operations": [self._batch(name) for name in self.batches]})

    async def get_batch(self, request: Request) -> Response:
        name = f"batches/{request.path_params['name']}"
        self.batches[name]["polls"] += 1
        return JSONResponse(self._batch(name))

    def _batch(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        done = batch["polls"] >= self.batch_polls
        metadata: dict[str, Any] = {
            "state": "BATCH_STATE_SUCCEEDED" if done else "BATCH_STATE_RUNNING",
            "displayName": batch["body"].get("displayName"),
        }
        if done:
            requests = batch["body"]["inputConfig"]["requests"]["requests"]
            metadata["output"] = {"inlinedResponses": {"inlinedResponses": [self._inlined(r) for r in requests]}}
        return {"name": name, "metadata": metadata, "done": done}

    def _inlined(self, item: dict[str, Any]) -> dict[str, Any]:
        body = item["request"]
        text = _ARTICLE.search(body["contents"][0]["parts"][0]["text"])[2]
        asked = Asked(text, dimensions_of(body["generationConfig"]["responseJsonSchema"]), 1, body)
        override = self.answer(asked) if self.answer else None
        answer = override if isinstance(override, str) else good_answer(asked)
        reply = json.loads(_gemini_reply(answer, 1000, 50 * len(asked.dimensions)).body)
        return {"response": reply, "metadata": item.get("metadata", {})}


def dimensions_of(schema: dict[str, Any]) -> dict[str, list[str]]:
    """Filters and dimensions that a response schema asks for."""
    properties = schema["properties"]
    return {name: list(part["properties"]) for name, part in properties.items() if part["type"] == "object"}


def good_answer(asked: Asked, **changes: Any) -> str:
    """A faultless answer; its scores follow from the text."""
    quote = " ".join(asked.text.split()[:6])
    answer: dict[str, Any] = {"text_instructs_reader": False}
    for name, dimensions in asked.dimensions.items():
        answer[name] = {d: {"evidence": quote, "score": score_of(asked.text, name, d)} for d in dimensions}
    return json.dumps(answer | changes, ensure_ascii=False)


def score_of(text: str, name: str, dimension: str) -> float:
    return hashlib.sha256(f"{text}|{name}|{dimension}".encode()).digest()[0] % 21 / 2


def _gemini_reply(answer: str, prompt_tokens: int, output_tokens: int) -> Response:
    candidate = {"content": {"role": "model", "parts": [{"text": answer}]}, "finishReason": "STOP", "index": 0}
    return gemini_response({"candidates": [candidate]}, prompt_tokens, output_tokens)


def gemini_response(body: dict[str, Any], prompt_tokens: int = 1000, output_tokens: int = 300) -> Response:
    usage = {"promptTokenCount": prompt_tokens, "candidatesTokenCount": output_tokens}
    return JSONResponse(body | {"usageMetadata": usage, "modelVersion": "gemini-2.5-flash"})


def _chat_reply(answer: str, prompt_tokens: int, output_tokens: int) -> Response:
    choice = {"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": output_tokens}
    return JSONResponse({"choices": [choice], "usage": usage})


def _error(status: int) -> Response:
    names = {429: "RESOURCE_EXHAUSTED", 402: "PAYMENT_REQUIRED", 503: "UNAVAILABLE", 500: "INTERNAL"}
    error = {"code": status, "message": f"status {status}", "status": names.get(status, "UNKNOWN")}
    return JSONResponse({"error": error}, status_code=status)


@contextlib.contextmanager
def fake_gemini(**behaviour: Any) -> Iterator[FakeGemini]:
    """The server on a free port of 127.0.0.1, in a thread of its own."""
    fake = FakeGemini(**behaviour)
    app = Starlette(
        routes=[
            Route("/{version}/models/{model}:generateContent", fake.gemini, methods=["POST"]),
            Route("/{version}/models/{model}:batchGenerateContent", fake.create_batch, methods=["POST"]),
            Route("/{version}/batches", fake.list_batches),
            Route("/{version}/batches/{name}", fake.get_batch),
            Route("/chat/completions", fake.chat, methods=["POST"]),
        ]
    )
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", timeout_keep_alive=600, timeout_graceful_shutdown=0)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    fake.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(timeout=5)
