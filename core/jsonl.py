"""Articles as JSON lines: each line is judged by itself, and a refused line keeps its number."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.article import MAX_BYTES, Article, decode_article
from core.errors import RefusedRecord, StillhouseError


@dataclass(frozen=True, slots=True)
class Line:
    """One non-empty line: `number` counts from 1, `body` is without its line end.

    `outcome` is the article, or why the line is none. Of a line over the limit, `body` holds the beginning.
    """

    number: int
    body: bytes
    outcome: Article | RefusedRecord


@contextmanager
def open_input(file: str) -> Iterator[BinaryIO]:
    """The named file, or standard input for `-`."""
    if file == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(file).open("rb"))
        except OSError as error:
            action = "Name a file of JSON lines, or - for stdin."
            raise StillhouseError(f"{file}: {error.strerror}.", action=action) from None
        yield stream


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Every non-empty line of a binary stream; holds at most one line of MAX_BYTES in memory."""
    number = 0
    while chunk := stream.readline(MAX_BYTES + 2):
        number += 1
        body = chunk.rstrip(b"\r\n")
        if len(body) > MAX_BYTES:
            _skip_rest(stream, chunk)
        if body.strip():
            yield Line(number, body, _decode(body))


def _decode(body: bytes) -> Article | RefusedRecord:
    try:
        return decode_article(body)
    except RefusedRecord as refusal:
        return refusal


def _skip_rest(stream: BinaryIO, chunk: bytes) -> None:
    while chunk and not chunk.endswith(b"\n"):
        chunk = stream.readline(MAX_BYTES)
