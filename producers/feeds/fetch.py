"""A GET that a hostile server cannot turn into harm: bounded in bytes, time and redirects, kept off private hosts."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

import httpcore
import httpx

from producers.feeds.addresses import GuardedBackend
from producers.feeds.body import Limits, bounded_body
from producers.feeds.errors import FetchError
from producers.feeds.retry_after import retry_after_sec

USER_AGENT = "Stillhouse/0.1 (feed reader)"
_REDIRECTS = {301, 302, 303, 307, 308}
_RETRY_LATER = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Document:
    """An answer of 200 or 304. `url` is where it came from after redirects; a 304 has no body."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes = field(repr=False)

    @property
    def unchanged(self) -> bool:
        return self.status == 304


class Gate(Protocol):
    """Whose turn it is at a host; entered around every request, also around each hop of a redirect."""

    def turn(self, host: str) -> AbstractAsyncContextManager[None]: ...


class Fetcher:
    """Keeps connections alive between documents. Use it as an async context manager."""

    def __init__(self, gate: Gate, *, allow_private: bool, verify: ssl.SSLContext | None = None) -> None:
        self._gate = gate
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify or ssl.create_default_context(),
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=15.0,
            network_backend=GuardedBackend(allow_private=allow_private),
        )

    async def __aenter__(self) -> "Fetcher":
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.__aexit__(kind, error, trace)

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, limits: Limits | None = None
    ) -> Document:
        """Fetch `url`, following redirects.

        Raises:
            FetchError: everything but an answer of 200 or 304; its outcome names what happened.
        """
        limits = limits or Limits()
        seen: set[str] = set()
        target = _checked_url(url)
        for _ in range(limits.redirects + 1):
            seen.add(str(target))
            answer = await self._hop(target, headers or {}, limits)
            if isinstance(answer, Document):
                return answer
            target = answer
            if str(target) in seen:
                raise FetchError("redirect_loop", f"{url} leads back to {target}")
        raise FetchError("too_many_redirects", f"{url} redirects more than {limits.redirects} times")

    async def _hop(self, url: httpx.URL, headers: Mapping[str, str], limits: Limits) -> Document | httpx.URL:
        async with self._gate.turn(url.host):
            try:
                async with asyncio.timeout(limits.total_sec):
                    return await self._request(url, headers, limits)
            except (TimeoutError, httpcore.TimeoutException):
                raise FetchError("timeout", f"{url} did not answer in full within {limits.total_sec:g} s") from None
            except httpcore.ConnectError as error:
                raise FetchError(_connect_outcome(error), f"{url}: {error}") from None
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
                raise FetchError("broken_transfer", f"{url}: {error or type(error).__name__}") from None

    async def _request(self, url: httpx.URL, headers: Mapping[str, str], limits: Limits) -> Document | httpx.URL:
        timeout = {"connect": limits.connect_sec, "read": limits.total_sec, "write": limits.connect_sec, "pool": None}
        sent = {"Host": url.netloc.decode(), "User-Agent": USER_AGENT, "Accept-Encoding": "gzip", **headers}
        async with self._pool.stream(
            "GET", str(url), headers=list(sent.items()), extensions={"timeout": timeout}
        ) as response:
            status, received = response.status, httpx.Headers(response.headers)
            if status in _REDIRECTS and "location" in received:
                return _checked_url(str(_join(url, received["location"])))
            if status == 304:
                return Document(str(url), status, received, b"")
            if status != 200:
                raise status_error(str(url), status, received)
            body = await bounded_body(response.aiter_stream(), received, limits)
            return Document(str(url), status, received, body)


def status_error(url: str, status: int, headers: httpx.Headers) -> FetchError:
    """What a status other than 200 and 304 means for the next poll."""
    wait_sec = retry_after_sec(headers.get("retry-after")) if status in _RETRY_LATER else None
    if status == 410:
        return FetchError("gone", f"{url} answers 410", action="It is not asked again; drop it from your list.")
    if status == 429:
        return FetchError("rate_limited", f"{url} answers 429", retry_after_sec=wait_sec)
    if status == 402:
        return FetchError("paywall", f"{url} answers 402 Payment Required")
    return FetchError(f"http_{status}", f"{url} answers {status}", retry_after_sec=wait_sec)


def _checked_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise FetchError("bad_url", f"{url[:200]!r} is not a URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise FetchError("bad_url", f"{url[:200]!r} is not an http(s) address")
    if parsed.userinfo:
        raise FetchError("bad_url", f"{parsed.host}: user names and passwords in addresses are not supported")
    return parsed.copy_with(fragment=None)


def _join(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return url.join(location)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise FetchError("bad_url", f"{url} redirects to {location[:200]!r}: {error}") from None


def _connect_outcome(error: httpcore.ConnectError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "tls"
        cause = cause.__cause__ or cause.__context__
    return "connect"
