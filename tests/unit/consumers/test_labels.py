import orjson
import pytest

from consumers.labels import LabelsStage
from consumers.records import Record
from core.article import Article
from core.errors import RefusedRecord
from core.messages import Labelled, OracleLabel
from core.topics import ORACLE_LABELS
from offline.label_store import LabelStore


def record(offset: int, partition: int = 0, **changes) -> Record:
    label = {"version": "v1", "scores": {"a": 4.5}, "oracle": "replay", "prompt_hash": "p", "propensity": 0.5}
    labels = {"demo": OracleLabel(**(label | {"reason": "audit"} | changes))}
    body = Labelled(Article(f"id{partition}-{offset}", "Title", f"Text {partition} {offset}"), labels, "set").to_bytes()
    return Record(ORACLE_LABELS, partition, offset, 1_764_000_000_000 + offset, b"key", body)


@pytest.fixture
def stage(tmp_path) -> LabelsStage:
    return LabelsStage(LabelStore(tmp_path), cluster="one")


def feed(stage: LabelsStage, *records: Record) -> None:
    assert list(stage.handle([stage.decode(r) for r in records])) == [()] * len(records)


def test_redelivered_records_are_stored_once_per_partition(stage):
    feed(stage, record(0), record(1), record(0, partition=1))
    feed(stage, record(1), record(2), record(0, partition=1), record(1, partition=1))
    stored = [label.article_id for label in stage.store.labels()]
    assert sorted(stored) == ["id0-0", "id0-1", "id0-2", "id1-0", "id1-1"]


def test_a_restarted_embedded_broker_counts_anew(stage):
    feed(stage, record(0))
    feed(LabelsStage(stage.store, cluster="two"), record(0, version="v2"))
    assert len(stage.store.labels()) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scores": {"a": 10.5}}, "score_out_of_range"),
        ({"scores": {"a": "7"}}, "wrong_type"),
        ({"scores": {"a": True}}, "wrong_type"),
        ({"scores": {}}, "wrong_type"),
        ({"propensity": 0}, "wrong_type"),
        ({"evidence": ["quote"]}, "wrong_type"),
    ],
    ids=["above-10", "string", "bool", "no-scores", "impossible-propensity", "evidence-list"],
)
def test_labels_that_training_could_not_use_are_refused(stage, changes, reason):
    with pytest.raises(RefusedRecord) as refusal:
        stage.decode(record(0, **changes))
    assert refusal.value.reason == reason


def test_a_record_of_another_kind_is_refused(stage):
    with pytest.raises(RefusedRecord, match="unknown_schema"):
        stage.decode(Record(ORACLE_LABELS, 0, 0, 0, None, orjson.dumps({"hello": 1})))
