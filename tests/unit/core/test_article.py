import numpy as np
import orjson
import pytest

from core.article import MAX_BYTES, Article, content_id, decode_article
from core.errors import RefusedRecord
from core.gated import Gated
from core.messages import OracleRequest


def raw(**fields) -> bytes:
    return orjson.dumps(fields)


def test_a_full_record_keeps_every_field_and_carries_unknown_ones():
    article = decode_article(raw(id="a1", title="T", text="B", url="u", tags=["x"], language="nl", views=3))
    assert article == Article("a1", "T", "B", url="u", tags=("x",), language="nl", extra={"views": 3})
    assert article.to_dict()["extra"] == {"views": 3}


def test_a_missing_id_is_derived_from_the_content():
    first, second = (decode_article(raw(title="T", text="B")) for _ in range(2))
    assert first.id == second.id == content_id("T", "B")
    assert len(first.id) == 16


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"{", "not_json", id="broken-json"),
        pytest.param(b"", "not_json", id="nothing"),
        pytest.param(b"[1]", "not_an_object", id="array"),
        pytest.param(b'{"title": "\xff\xfe"}', "not_utf8", id="invalid-utf8"),
        pytest.param(b'{"title": 7, "text": "x"}', "wrong_type", id="number-as-title"),
        pytest.param(b'{"title": "x", "tags": "y"}', "wrong_type", id="tags-not-a-list"),
        pytest.param(b'{"title": " ", "text": "\\n"}', "empty", id="only-space"),
        pytest.param(b'{"id": "x"}', "empty", id="no-content"),
        pytest.param(b'{"title": "' + b"x" * MAX_BYTES + b'"}', "too_large", id="too-large"),
        pytest.param(b"[" * 100_000, "not_json", id="deeply-nested"),
        pytest.param(b'{"title": "x", "id": "' + b"i" * 300 + b'"}', "wrong_type", id="endless-id"),
        pytest.param(b'{"title": "x", "more": ' + b"[" * 100 + b"]" * 100 + b"}", "too_deep", id="deep-unknown-field"),
        pytest.param(b'{"title": "x", "a":' * 101 + b"1" + b"}" * 101, "too_deep", id="deep-objects"),
    ],
)
def test_what_cannot_be_an_article_is_refused_with_a_named_reason(body, reason):
    with pytest.raises(RefusedRecord) as refusal:
        decode_article(body)
    assert refusal.value.reason == reason


def test_what_is_nested_as_far_as_allowed_travels_through_every_topic():
    article = decode_article(b'{"title": "x", "more": ' + b"[" * 99 + b"]" * 99 + b"}")
    gated = Gated.from_bytes(Gated(article, np.ones(1, dtype=np.float32)).to_bytes()).article
    assert OracleRequest.from_bytes(OracleRequest(gated, {}, "set").to_bytes()).article == article
