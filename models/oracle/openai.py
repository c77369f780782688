"""Any server that speaks the OpenAI chat protocol (DeepSeek, a local vLLM), over httpx."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

from models.oracle.gemini import MAX_OUTPUT_TOKENS, broken_connection
from models.oracle.pricing import Usage
from models.oracle.prompt import Prompt
from models.oracle.provider import (
    KEEP_ALIVE_SEC,
    AnswerLost,
    NoAnswer,
    Reply,
    Unavailable,
    error_of_status,
    retry_after_sec,
)


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """`base_url` ends before /chat/completions. `strict_schema` False: the server knows only plain JSON mode."""

    model: str
    base_url: str
    api_key: str | None = None
    temperature: float = 0.0
    timeout_sec: float = 60.0
    strict_schema: bool = True


class OpenAIProvider:
    """One HTTP client for many concurrent calls; use it in one event loop."""

    paid = True

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        headers = {"Authorization": f"Bearer {options.api_key}"} if options.api_key else {}
        limits = httpx.Limits(keepalive_expiry=KEEP_ALIVE_SEC)
        self._http = httpx.AsyncClient(headers=headers, timeout=options.timeout_sec, limits=limits)
        self._url = f"{options.base_url.rstrip('/')}/chat/completions"
        self.name = f"openai:{options.model}"
        self.identity = f"{self.name}:{options.base_url}:t{options.temperature:g}"

    async def generate(self, prompt: Prompt) -> Reply:
        timeout_sec = self._options.timeout_sec
        try:
            async with asyncio.timeout(timeout_sec):
                response = await self._http.post(self._url, json=self._request(prompt))
        except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unavailable("no_connection", repr(error)) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise AnswerLost("timeout", f"no answer within {timeout_sec:g} s") from error
        except httpx.HTTPError as error:
            raise broken_connection(error) from error
        if response.status_code != 200:
            delay = retry_after_sec(response.headers.get("retry-after"))
            raise error_of_status(response.status_code, response.text[:300], delay)
        return _reply(response)

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        schema = {"name": "scores", "strict": True, "schema": _without_ordering(prompt.schema)}
        strict = {"type": "json_schema", "json_schema": schema}
        return {
            "model": self._options.model,
            "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            "temperature": self._options.temperature,
            "max_tokens": min(MAX_OUTPUT_TOKENS, 8192),
            "response_format": strict if self._options.strict_schema else {"type": "json_object"},
        }

    async def close(self) -> None:
        await self._http.aclose()


def _reply(response: httpx.Response) -> Reply:
    try:
        body = response.json()
        tokens = body.get("usage") or {}
        cached = (tokens.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        usage = Usage(int(tokens.get("prompt_tokens", 0)), int(tokens.get("completion_tokens", 0)), int(cached))
        choice = body["choices"][0] if body.get("choices") else None
        text = (choice["message"].get("content") or "") if choice else ""
        finish = choice.get("finish_reason") if choice else None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise NoAnswer("malformed_response", f"{error!r}: {response.text[:200]!r}") from error
    if choice is None:
        raise NoAnswer("empty", "the response has no choice", usage=usage)
    if finish == "length":
        raise NoAnswer("truncated", f"cut off after {usage.output_tokens} tokens", usage=usage)
    if finish == "content_filter" or choice["message"].get("refusal"):
        raise NoAnswer("blocked", f"{choice['message'].get('refusal') or finish}"[:200], usage=usage)
    return Reply(text, usage)


def _without_ordering(schema: Any) -> Any:
    """The same schema without Gemini's `propertyOrdering`, which strict OpenAI servers refuse."""
    if isinstance(schema, dict):
        return {key: _without_ordering(value) for key, value in schema.items() if key != "propertyOrdering"}
    return schema
