"""Records that nobody should send: valid ones with bytes, types, sizes, keys and headers gone wrong, from a seed."""

import copy
import random
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from consumers.delivery import RAW_TIME
from consumers.records import Message, Record

NUMBER = "tracestate"
"""The stream carries this header on, so here it says of which record an outcome was made."""

Json = dict[str, Any]
Mutation = Callable[[random.Random, Json], bytes | None]
Finish = Callable[[random.Random, bytes | None], bytes | None]

_JUNK = (
    None, True, False, 0, -1, 0.1, 1e308, -(2**63), 2**64 - 1, "", " ", "\0", "null", "\u202e", "e\u0301" * 99,
    "👩‍👩‍👧" * 50, "&#0;&#x110000;&bogus;", "<" * 5_000, "<a href='", "]]>", [], [[]], [None], ["x", 1], {}, {"": {}},
)  # fmt: skip
_NAMES = (RAW_TIME, "traceparent", "replays", "stage", "attempt", "dead-topic", "dead-offset", "original.x", "", "名前")
_VALUES = (None, b"", b"\xff\xfe", b"-1", b"9" * 5_000, b"1" * 18, b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")


def untouched(draw: random.Random, body: bytes | None) -> bytes | None:
    return body


def messages(
    topic: str, samples: Sequence[Json], count: int, seed: int, finish: Finish = untouched
) -> Iterator[Message]:
    """`count` records made of the samples: a fifth of them intact, and each with its number in a header.

    `finish` adds to a body what is not JSON.
    """
    draw = random.Random(seed)
    earlier: list[bytes | None] = []
    for number in range(count):
        sample = _own(draw.choice(samples), number)
        mutation = draw.choices(_MUTATIONS, _WEIGHTS)[0]
        body = draw.choice(earlier) if earlier and draw.random() < 0.05 else finish(draw, mutation(draw, sample))
        if len(earlier) < 1_000:
            earlier.append(body)
        yield Message(topic, _key(draw, number), body, (*_headers(draw), (NUMBER, b"%d" % number)))


def intact(topic: str, sample: Json, number: int) -> Message:
    return Message(topic, b"fuzz-%d" % number, orjson.dumps(_own(sample, number)), ((NUMBER, b"%d" % number),))


def number_of(record: Record | Message) -> int:
    return int(next(value for name, value in reversed(record.headers) if name == NUMBER))


def _own(sample: Json, number: int) -> Json:
    """The sample as an article of its own; in inner topics the article is one level down."""
    own = orjson.loads(orjson.dumps(sample))
    article = own.get("article", own)
    article |= {"id": f"fuzz-{number}", "text": f"{article.get('text', '')} No. {number}."}
    return own


def _key(draw: random.Random, number: int) -> bytes | None:
    odd = (None, b"", draw.randbytes(9), b"k" * 10_000)
    return draw.choice(odd) if draw.random() < 0.1 else b"fuzz-%d" % number


def _headers(draw: random.Random) -> tuple[tuple[str, bytes | None], ...]:
    if draw.random() < 0.8:
        return ()
    return tuple((draw.choice(_NAMES), draw.choice(_VALUES)) for _ in range(draw.randrange(1, 6)))


def _intact(draw: random.Random, sample: Json) -> bytes:
    return orjson.dumps(sample)


def _random_bytes(draw: random.Random, sample: Json) -> bytes:
    return draw.randbytes(draw.randrange(300))


def _tombstone(draw: random.Random, sample: Json) -> None:
    return None


def _damaged(draw: random.Random, sample: Json) -> bytes:
    """Some bytes changed, inserted, removed or repeated."""
    body = bytearray(orjson.dumps(sample))
    for _ in range(draw.randrange(1, 9)):
        at = draw.randrange(len(body))
        size = draw.randrange(1, 5)
        body[at : at + draw.choice((0, size))] = draw.choice(
            (draw.randbytes(size), b"", body[at : at + 40], b'"', b"}")
        )
        body = body or bytearray(b"{}")
    return bytes(body)


def _cut(draw: random.Random, sample: Json) -> bytes:
    body = orjson.dumps(sample)
    return body[: draw.randrange(len(body))]


def _recoded(draw: random.Random, sample: Json) -> bytes:
    """Encodings other than UTF-8, and JSON that only some parsers take."""
    text = orjson.dumps(sample).decode()
    return draw.choice((
        b"\xef\xbb\xbf" + text.encode(),
        text.encode("utf-16"),
        text.encode("latin-1", "replace"),
        text.replace('"title"', '"title":"twice","title"').encode(),
        text.replace(" ", "\\ud800").encode(),
        text.replace(" ", "\\u0000").encode(),
        text.replace(":", f":{'9' * 5_000},\"more\":", 1).encode(),
        text.replace("{", '{"n":NaN,', 1).encode(),
        text.replace("{", '{"n":1e999,', 1).encode(),
        text.encode() + text.encode(),
    ))  # fmt: skip


def _mistyped(draw: random.Random, sample: Json) -> bytes:
    """Up to three values replaced, anywhere in the record."""
    for _ in range(draw.randrange(1, 4)):
        holder, name = draw.choice(list(_places(sample)))
        holder[name] = copy.deepcopy(draw.choice(_JUNK))
    return orjson.dumps(sample)


def _reshaped(draw: random.Random, sample: Json) -> bytes:
    """A field less, a strange field more, or the record inside something else."""
    holder, name = draw.choice(list(_places(sample)))
    if isinstance(holder, dict) and draw.random() < 0.5:
        del holder[name]
        return orjson.dumps(sample)
    strange = "".join(draw.choices(string.printable, k=draw.randrange(12)))
    return orjson.dumps(
        draw.choice((sample | {strange: draw.choice(_JUNK)}, [sample], {"schema": sample}, str(sample)))
    )


def _nested(draw: random.Random, sample: Json) -> bytes:
    depth = draw.choice((100, 253, 254, 255, 300, 1_000, 1_024, 1_025, 20_000))
    opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}")))
    nest = opening * depth + b"1" + closing * depth
    return draw.choice((nest, opening * depth, orjson.dumps(sample)[:-1] + b',"nest":' + nest + b"}"))


def _huge(draw: random.Random, sample: Json) -> bytes:
    """Around the limit of 1 MiB, or near that of Kafka."""
    size = draw.choice((500_000, (1 << 20) - 2_000, 1 << 20, (1 << 20) + 1, 3_000_000))
    article = sample.get("article", sample)
    article[draw.choice(("title", "text", "url", "more"))] = (draw.choice(("word ", "w", "<p>", "&amp;")) * size)[:size]
    return orjson.dumps(sample)


def _odd_text(draw: random.Random, sample: Json) -> bytes:
    """Any characters of Unicode, in any text."""
    texts = [(holder, name) for holder, name in _places(sample) if isinstance(holder[name], str)]
    holder, name = draw.choice(texts)
    points = (
        draw.choice((draw.randrange(0x80), draw.randrange(0xD800), draw.randrange(0xE000, 0x110000))) for _ in range(80)
    )
    holder[name] = "".join(map(chr, points))
    return orjson.dumps(sample)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each (container, key) below `value`."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


_SHARES: dict[Mutation, int] = {
    _intact: 200, _random_bytes: 100, _tombstone: 20, _damaged: 150, _cut: 80, _recoded: 100, _mistyped: 150,
    _reshaped: 80, _nested: 18, _huge: 2, _odd_text: 100,
}  # fmt: skip
_MUTATIONS, _WEIGHTS = list(_SHARES), list(_SHARES.values())
