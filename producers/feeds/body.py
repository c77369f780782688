"""Response bodies within limits, before and after decompression."""

import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol

import httpx

from producers.feeds.errors import FetchError

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may cost."""

    wire_bytes: int = 8 << 20
    decoded_bytes: int = 16 << 20
    redirects: int = 5
    connect_sec: float = 10.0
    total_sec: float = 30.0


PAGE_LIMITS = Limits(wire_bytes=3 << 20, decoded_bytes=4 << 20, total_sec=20.0)
"""For article pages: larger ones are galleries and dumps, and extraction costs about 1 s per MB."""


async def bounded_body(stream: AsyncIterator[bytes], headers: httpx.Headers, limits: Limits) -> bytes:
    """The decoded body; stops reading at the first byte past a limit, before or after decompression."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:18]) > limits.wire_bytes:
        raise FetchError("too_large", f"{declared:.18} bytes announced, the limit is {limits.wire_bytes}")
    decoder = _decoder(headers.get("content-encoding", ""))
    body = bytearray()
    wire_bytes = 0
    async for chunk in stream:
        wire_bytes += len(chunk)
        if wire_bytes > limits.wire_bytes:
            raise FetchError("too_large", f"more than {limits.wire_bytes} bytes sent")
        for piece in decoder.pieces(chunk):
            body += piece
            if len(body) > limits.decoded_bytes:
                raise FetchError("too_large", f"more than {limits.decoded_bytes} bytes after decompression")
    decoder.finish()
    return bytes(body)


class _Decoder(Protocol):
    def pieces(self, chunk: bytes) -> Iterator[bytes]: ...

    def finish(self) -> None:
        """Raises FetchError where the stream ended early."""


class _Identity:
    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        return iter((chunk,))

    def finish(self) -> None: ...


class _Gunzip:
    """Unpacks in pieces of at most 64 KiB, so that a bomb is seen before it is unpacked."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        more = True
        while more and not self._inflater.eof:
            try:
                piece = self._inflater.decompress(chunk, _CHUNK_BYTES)
            except zlib.error as error:
                raise FetchError("bad_encoding", f"the gzip stream is damaged: {error}") from None
            chunk = self._inflater.unconsumed_tail
            more = bool(chunk) or len(piece) == _CHUNK_BYTES
            yield piece

    def finish(self) -> None:
        if not self._inflater.eof:
            raise FetchError("broken_transfer", "the gzip stream ends early")


def _decoder(encoding: str) -> _Decoder:
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return _Identity()
    if coding in ("gzip", "x-gzip"):
        return _Gunzip()
    raise FetchError("bad_encoding", f"content encoding {coding[:40]!r} was not asked for")
