"""The seam to whoever answers, and the four ways in which a call can end without an answer.

What a failure means for the money decides what may follow: a call that was not paid is repeated, one that may have
been paid is never repeated by itself.
"""

from dataclasses import dataclass
from typing import Protocol

from models.oracle.pricing import Usage
from models.oracle.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one call. `text` is unchecked; `oracle` names the source where it is not the provider's."""

    text: str
    usage: Usage
    oracle: str | None = None


class Provider(Protocol):
    """One large model behind an API.

    `name` marks every label. `identity` tells answers apart in the ledger. `paid` False means that calls cost
    nothing and may be repeated.
    """

    name: str
    identity: str
    paid: bool

    async def generate(self, prompt: Prompt) -> Reply:
        """One call, no retries, within the provider's deadline. Raises ProviderError."""

    async def close(self) -> None: ...


KEEP_ALIVE_SEC = 2.0
"""Idle connections are closed before servers do it (5 s is common): a request that meets a closing connection is an
answer that may have been paid."""


class ProviderError(Exception):
    """A call without an answer. `reason` is a code for dead letters and summaries."""

    def __init__(self, reason: str, detail: str, *, usage: Usage | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.usage = usage


class Throttled(ProviderError):
    """Not paid, and the next call would fare alike: 402, 429, a refused key. Everybody pauses."""

    def __init__(self, reason: str, detail: str, *, retry_after_sec: float | None = None) -> None:
        super().__init__(reason, detail)
        self.retry_after_sec = retry_after_sec


class Unavailable(ProviderError):
    """Not paid, and this call may succeed soon: 5xx, no connection."""


class AnswerLost(ProviderError):
    """Possibly paid: the request was sent and no answer came (deadline, connection broken, process killed)."""


class NoAnswer(ProviderError):
    """The provider answered that it will not answer this: safety block, empty candidate, bad request."""


def error_of_status(status: int, detail: str, retry_after_sec: float | None = None) -> ProviderError:
    """The error that an HTTP status means, the same for all providers."""
    if status == 429:
        return Throttled("rate_limited", detail, retry_after_sec=retry_after_sec)
    if status == 402:
        return Throttled("payment_required", detail, retry_after_sec=retry_after_sec)
    if status in (401, 403) or (status == 400 and "api key" in detail.lower()):
        return Throttled("key_refused", detail)
    if status == 404:
        return Throttled("model_not_found", detail)
    if status == 408 or status >= 500:
        return Unavailable(f"http_{status}", detail)
    return NoAnswer("bad_request", f"HTTP {status}: {detail}")


def retry_after_sec(header: str | None) -> float | None:
    """Seconds of a Retry-After header; its date form is not used by these APIs and reads as None."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
