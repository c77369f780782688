import base64

import numpy as np
import orjson
import pytest

from core.article import Article
from core.errors import RefusedRecord
from core.gated import Gated

ARTICLE = Article("1", "T", "Line\nand line.", language="nl", tags=("x",), extra={"k": [1]})
UNIT = np.array([0.6, -0.8], "<f4").tobytes()


def line(**changes) -> bytes:
    return orjson.dumps({"schema": 2, "article": {"id": "1", "title": "T"}} | changes)


def test_articles_survive_the_wire_to_the_bit():
    vector = np.random.default_rng(1).standard_normal(384).astype(np.float32)
    vector /= np.linalg.norm(vector)
    vector[:3] = np.frombuffer(b"\n\n\n\n{\n}\n\n\r\n\r", np.float32)  # small numbers
    back = Gated.from_bytes(Gated(ARTICLE, vector).to_bytes())
    assert back.article == ARTICLE
    assert back.embedding.tobytes() == vector.tobytes()


def test_the_record_is_a_line_of_json_and_the_numbers():
    body = Gated(Article("1", "T", "B"), np.array([1, -0.0], np.float32)).to_bytes()
    assert body == b'{"schema":2,"article":{"id":"1","title":"T","text":"B"}}\n\0\0\x80\x3f\0\0\0\x80'


def test_what_the_version_before_wrote_is_read():
    numbers = base64.b64encode(UNIT).decode()
    old = orjson.dumps({"schema": 1, "article": ARTICLE.to_dict(), "embedding": numbers})
    gated = Gated.from_bytes(old)
    assert gated.article == ARTICLE
    assert gated.embedding.tobytes() == UNIT


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "not_json", id="nothing"),
        pytest.param(b"\n" + UNIT, "not_json", id="no-line"),
        pytest.param(b"[]\n" + UNIT, "not_an_object", id="array"),
        pytest.param(line(), "unknown_schema", id="no-numbers-at-all"),
        pytest.param(line(schema=1, embedding="AACAPw==") + b"\n" + UNIT, "unknown_schema", id="both-schemas"),
        pytest.param(line(schema=3) + b"\n" + UNIT, "unknown_schema", id="later-schema"),
        pytest.param(line() + b"\n", "wrong_type", id="empty-embedding"),
        pytest.param(line() + b"\n" + UNIT[:-1], "wrong_type", id="half-a-number"),
        pytest.param(line() + b"\n" + np.array([np.nan], "<f4").tobytes(), "wrong_type", id="not-a-number"),
        pytest.param(line() + b"\n" + np.array([1, np.inf], "<f4").tobytes(), "wrong_type", id="infinite"),
        pytest.param(line() + b"\n" + np.full(9, 3e38, "<f4").tobytes(), "wrong_type", id="endless"),
        pytest.param(line() + b"\n" + np.full(9, 0.5, "<f4").tobytes(), "wrong_type", id="too-long"),
        pytest.param(line() + b"\n" + bytes(16), "wrong_type", id="no-length"),
        pytest.param(line(article=None) + b"\n" + UNIT, "wrong_type", id="no-article"),
        pytest.param(line(article={"title": " "}) + b"\n" + UNIT, "empty", id="empty-article"),
        pytest.param(line(schema=1), "wrong_type", id="old-without-embedding"),
        pytest.param(line(schema=1, embedding="AAA"), "wrong_type", id="old-broken-base64"),
        pytest.param(line(schema=1, embedding=7), "wrong_type", id="old-number"),
    ],
)
def test_other_bytes_are_refused_with_a_named_reason(body, reason):
    with pytest.raises(RefusedRecord) as refusal:
        Gated.from_bytes(body)
    assert refusal.value.reason == reason
