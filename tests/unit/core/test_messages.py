import pytest

from core.article import Article
from core.errors import RefusedRecord
from core.messages import Labelled, OracleAsk, OracleLabel, OracleRequest

ARTICLE = Article("1", "T", "B", language="nl", tags=("x",), extra={"k": [1]})


def test_oracle_messages_survive_the_wire():
    request = OracleRequest(ARTICLE, {"f": OracleAsk("v1", "audit", 0.1, 3.0, "scorer")}, "set")
    assert OracleRequest.from_bytes(request.to_bytes()) == request
    label = OracleLabel("v1", {"a": 5.0}, "gemini", "hash", 0.05, "audit", evidence={"a": "quote"})
    labelled = Labelled(ARTICLE, {"f": label}, "set")
    assert Labelled.from_bytes(labelled.to_bytes()) == labelled


@pytest.mark.parametrize("message", [OracleRequest, Labelled])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"nonsense", "not_json"),
        (b"[]", "not_an_object"),
        (b'{"schema": 2}', "unknown_schema"),
        (b'{"schema": 1}', "wrong_type"),
        (b'{"schema": 1, "article": 5, "filters": 3, "labels": []}', "wrong_type"),
    ],
)
def test_foreign_bytes_are_refused(message, body, reason):
    with pytest.raises(RefusedRecord) as refusal:
        message.from_bytes(body)
    assert refusal.value.reason == reason
