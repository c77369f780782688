import numpy as np
import pytest

from core.article import Article
from core.errors import RefusedRecord
from core.messages import Gated, Labelled, OracleAsk, OracleLabel, OracleRequest

ARTICLE = Article("1", "T", "B", language="nl", tags=("x",), extra={"k": [1]})


def test_gated_articles_survive_the_wire_to_the_bit():
    vector = np.random.default_rng(1).standard_normal(384).astype(np.float32)
    back = Gated.from_bytes(Gated(ARTICLE, vector).to_bytes())
    assert back.article == ARTICLE
    assert back.embedding.tobytes() == vector.tobytes()


def test_oracle_messages_survive_the_wire():
    request = OracleRequest(ARTICLE, {"f": OracleAsk("v1", "audit", 0.1, 3.0, "scorer")}, "set")
    assert OracleRequest.from_bytes(request.to_bytes()) == request
    label = OracleLabel("v1", {"a": 5.0}, "gemini", "hash", 0.05, "audit", evidence={"a": "quote"})
    labelled = Labelled(ARTICLE, {"f": label}, "set")
    assert Labelled.from_bytes(labelled.to_bytes()) == labelled


@pytest.mark.parametrize("message", [Gated, OracleRequest, Labelled])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"nonsense", "not_json"),
        (b"[]", "not_an_object"),
        (b'{"schema": 2}', "unknown_schema"),
        (b'{"schema": 1}', "wrong_type"),
        (b'{"schema": 1, "article": 5, "embedding": "AAAA", "filters": 3, "labels": []}', "wrong_type"),
    ],
)
def test_foreign_bytes_are_refused(message, body, reason):
    with pytest.raises(RefusedRecord) as refusal:
        message.from_bytes(body)
    assert refusal.value.reason == reason
