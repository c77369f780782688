"""Records of every outer topic against the JSON Schemas that other programs rely on."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from core import topics
from core.article import Article, decode_article
from core.asyncapi import document
from core.documents import outdated
from core.messages import OracleAsk, OracleRequest, Rejected
from core.schemas import SCHEMAS
from core.topics import TOPICS
from tests.support.board_records import articles, labelled, scored, stream

PROJECT = Path(__file__).parents[2]
SAMPLES = PROJECT / "producers" / "samples" / "articles.jsonl"
DEMO = PROJECT / "producers" / "samples" / "demo.jsonl"


def faults(topic: str, body: bytes) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMAS[topic])
    return [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(orjson.loads(body))]


@pytest.mark.parametrize("topic", SCHEMAS)
def test_each_schema_is_one(topic: str):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[topic])
    assert SCHEMAS[topic]["$id"].endswith(":1")


def test_the_files_in_docs_are_those_of_the_code():
    assert outdated(PROJECT / "docs") == [], "run `stillhouse docs`"


def test_records_of_the_stages_fit():
    made = list(stream(articles(200), seed=11))
    assert {record.topic for record in made} >= {topics.SCORED, topics.REJECTED, topics.ORACLE_LABELS}
    for record in made:
        if record.topic in SCHEMAS:
            assert faults(record.topic, record.body) == []


def test_sample_articles_fit_and_so_do_their_results():
    lines = SAMPLES.read_bytes().splitlines()[:150]
    rng = random.Random(12)
    for line in lines:
        assert faults(topics.RAW, line) == []
        article = decode_article(line)
        verdict = scored(article, rng)
        assert faults(topics.SCORED, verdict.to_bytes()) == []
        assert faults(topics.REJECTED, Rejected(article, "commerce", "at least 0.95", 0.97).to_bytes()) == []
        if labels := labelled(verdict, rng):
            assert faults(topics.ORACLE_LABELS, labels.to_bytes()) == []
            asks = {name: OracleAsk(label.version, label.reason, label.propensity, 5.0, "scorer")
                    for name, label in labels.labels.items()}  # fmt: skip
            assert faults(topics.ORACLE_REQUESTS, OracleRequest(article, asks, "5" * 64).to_bytes()) == []


RICH = scored(Article("a", "T", "x", "http://x", "s", "en", "2026-01-01", ("t",), {"k": [1]}), random.Random(1), keen=1)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2}, {"id": ""}, {"title": None}, {"commerce": 1.5}, {"releases": "latest"}, {"filters": []},
        {"filters": {"a": {"version": "v1"}}}, {"tags": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_a_record_that_is_wrong_does_not_fit(change: dict[str, Any]):
    record = orjson.loads(RICH.to_bytes())
    assert faults(topics.SCORED, orjson.dumps(record)) == []
    assert faults(topics.SCORED, orjson.dumps(record | change)) != []


def test_no_field_of_a_scored_record_is_undescribed():
    schema = SCHEMAS[topics.SCORED]
    record = orjson.loads(RICH.to_bytes())
    assert set(record) <= set(schema["properties"])
    result = schema["properties"]["filters"]["additionalProperties"]
    assert all(set(given) == set(result["properties"]) for given in record["filters"].values())


@pytest.mark.parametrize("raw", [b"{}", b'{"text": 3}', b'{"url": "x"}', b'{"title": "t", "tags": [1]}'])
def test_what_the_decoder_refuses_the_schema_refuses(raw: bytes):
    assert faults(topics.RAW, raw) != []


def test_asyncapi_names_every_outer_topic_and_resolves():
    spec = document()
    assert set(spec["channels"]) == {topic.name for topic in TOPICS} - {topics.GATED}

    def resolve(reference: str) -> Any:
        node: Any = spec
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        return node

    for channel in spec["channels"].values():
        assert resolve(channel["messages"]["record"]["$ref"])["payload"] is not None
    for operation in spec["operations"].values():
        assert resolve(operation["channel"]["$ref"])["address"]


@pytest.mark.weights
@pytest.mark.slow
def test_what_stillhouse_score_writes_fits(tmp_path: Path):
    scored_file = subprocess.run(
        [sys.executable, "-m", "stillhouse", "score", str(DEMO)],
        cwd=PROJECT,
        capture_output=True,
        timeout=280,
        check=True,
    )
    lines = scored_file.stdout.splitlines()
    assert lines
    for line in lines:
        topic = topics.REJECTED if "reason" in orjson.loads(line) else topics.SCORED
        assert faults(topic, line) == []
