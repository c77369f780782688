"""Gemini through google-genai: structured output, own retries off, every failure named.

The client's own GOOGLE_GEMINI_BASE_URL points it at another server.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.oracle.pricing import Usage
from models.oracle.prompt import Prompt
from models.oracle.provider import (
    KEEP_ALIVE_SEC,
    AnswerLost,
    NoAnswer,
    ProviderError,
    Reply,
    Unavailable,
    error_of_status,
    retry_after_sec,
)

if TYPE_CHECKING:
    import httpx
    from google.genai import types
    from google.genai.errors import APIError

MAX_OUTPUT_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class GeminiOptions:
    """`thinking_tokens`: 0 is off, -1 leaves it to the model. `base_url` None: the client's default."""

    model: str
    api_key: str
    temperature: float = 0.0
    thinking_tokens: int = 0
    timeout_sec: float = 60.0
    base_url: str | None = None


class GeminiProvider:
    """One client for many concurrent calls; use it in one event loop."""

    paid = True

    def __init__(self, options: GeminiOptions) -> None:
        import httpx
        from google import genai
        from google.genai import types

        self._options = options
        self._http = httpx.AsyncClient(limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_SEC))
        self.client = genai.Client(
            api_key=options.api_key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=options.base_url,
                timeout=int(options.timeout_sec * 1000),
                # The client repeats calls that may have been paid; repeating is decided in models/oracle/ask.py.
                retry_options=types.HttpRetryOptions(attempts=1),
                httpx_async_client=self._http,
            ),
        )
        self.name = f"gemini:{options.model}"
        self.identity = f"{self.name}:t{options.temperature:g}:think{options.thinking_tokens}"

    async def generate(self, prompt: Prompt) -> Reply:
        import httpx
        from google.genai.errors import APIError

        timeout_sec = self._options.timeout_sec
        try:
            async with asyncio.timeout(timeout_sec):
                response = await self.client.aio.models.generate_content(
                    model=self._options.model, contents=prompt.user, config=self.config(prompt)
                )
        except APIError as error:
            raise error_of_status(error.code, f"{error.message}"[:300], _delay_sec(error)) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
                raise Unavailable("no_connection", repr(error)) from error
            raise AnswerLost("timeout", f"no answer within {timeout_sec:g} s") from error
        except httpx.HTTPError as error:
            raise broken_connection(error) from error
        except ValueError as error:  # the client could not read the body: not JSON, or of another form
            raise NoAnswer("malformed_response", f"{error!r}"[:300]) from error
        return reply_of(response)

    def config(self, prompt: Prompt) -> "types.GenerateContentConfig":
        """Everything of a request but the article; the Batch API takes the same."""
        from google.genai import types

        return types.GenerateContentConfig(
            system_instruction=prompt.system,
            temperature=self._options.temperature,
            max_output_tokens=MAX_OUTPUT_TOKENS,
            response_mime_type="application/json",
            response_json_schema=prompt.schema,
            thinking_config=types.ThinkingConfig(thinking_budget=self._options.thinking_tokens),
        )

    @property
    def model(self) -> str:
        return self._options.model

    async def close(self) -> None:
        await self._http.aclose()


def reply_of(response: "types.GenerateContentResponse") -> Reply:
    """The answer's text, or NoAnswer with the reason that Gemini gives; blocked answers are paid as well."""
    usage = _usage(response)
    if (feedback := response.prompt_feedback) and feedback.block_reason:
        raise NoAnswer("blocked", f"prompt: {_code(feedback.block_reason)}", usage=usage)
    if not response.candidates:
        raise NoAnswer("empty", "the response has no candidate", usage=usage)
    candidate = response.candidates[0]
    finish = _code(candidate.finish_reason)
    parts = (candidate.content.parts if candidate.content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    if finish == "MAX_TOKENS":
        raise NoAnswer("truncated", f"cut off after {usage.output_tokens} tokens", usage=usage)
    if finish not in ("STOP", "FINISH_REASON_UNSPECIFIED", ""):
        raise NoAnswer("blocked", f"finish reason {finish}", usage=usage)
    return Reply(text, usage)


def broken_connection(error: "httpx.HTTPError") -> ProviderError:
    """A connection that was never made costs nothing; one that broke after sending may have been paid."""
    import httpx

    if isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol | httpx.ProxyError):
        return Unavailable("no_connection", f"{error!r}"[:300])
    return AnswerLost("connection_lost", f"{error!r}"[:300])


def _usage(response: "types.GenerateContentResponse") -> Usage:
    usage = response.usage_metadata
    if usage is None:
        return Usage()
    return Usage(
        input_tokens=usage.prompt_token_count or 0,
        output_tokens=(usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
        cached_tokens=usage.cached_content_token_count or 0,
    )


def _code(value: Any) -> str:
    return str(getattr(value, "value", value) or "")


def _delay_sec(error: "APIError") -> float | None:
    """The pause that the API asks for: a Retry-After header, or google.rpc.RetryInfo in the body."""
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    if (seconds := retry_after_sec(headers.get("retry-after"))) is not None:
        return seconds
    body = error.details.get("error", error.details) if isinstance(error.details, dict) else {}
    for detail in body.get("details", []) if isinstance(body, dict) else []:
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):
            return retry_after_sec(delay.removesuffix("s"))
    return None
