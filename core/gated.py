"""The record of articles.gated: one line of JSON with the article, then the bytes of its embedding.

    {"schema":2,"article":{"id":…,"title":…,"text":…}}\\n<float32, little endian>

JSON has no line ends in it, so the first one parts the two. Schema 1 had the embedding as base64 within the JSON, which
took 7 µs more. It is still read: during an upgrade such records wait in the topic, which keeps them for two days.
"""

import base64
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.article import Article, article_from_dict
from core.errors import RefusedRecord
from core.messages import decode_object, encode

SCHEMA = 2
_BASE64_SCHEMA = 1
_FLOAT32 = np.dtype("<f4")
_TOLERANCE = 0.01


class Gated(NamedTuple):
    """A cleaned article with its one embedding ([d] float32, unit length)."""

    article: Article
    embedding: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        line = encode({"schema": SCHEMA, "article": self.article.to_dict()})
        return b"\n".join((line, self.embedding.astype(_FLOAT32, copy=False).tobytes()))

    @classmethod
    def from_bytes(cls, body: bytes) -> "Gated":
        line, parted, numbers = body.partition(b"\n")
        record = decode_object(line, SCHEMA if parted else _BASE64_SCHEMA)
        article = record.get("article")
        if not isinstance(article, dict):
            raise RefusedRecord("wrong_type", f"article must be an object, got {type(article).__name__}")
        return cls(article_from_dict(article), _vector(numbers if parted else _from_base64(record)))


def _vector(numbers: bytes) -> NDArray[np.float32]:
    if not numbers or len(numbers) % _FLOAT32.itemsize:
        raise RefusedRecord("wrong_type", f"embedding must be 4 bytes for each number, got {len(numbers)} bytes")
    vector = np.frombuffer(numbers, _FLOAT32)
    squared = float(np.vdot(vector, vector))  # unlike other products it warns of no overflow
    if not 1 - _TOLERANCE < squared < 1 + _TOLERANCE:
        raise RefusedRecord("wrong_type", f"embedding must have length 1, got {math.sqrt(squared):g}")
    return vector.astype(np.float32, copy=False)


def _from_base64(record: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(record["embedding"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedRecord("wrong_type", f"embedding must be base64 in schema {_BASE64_SCHEMA}: {error!r}") from None
