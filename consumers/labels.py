"""The labels stage: oracle.labels into the label store, exactly once.

Kafka delivers at least once; the store keeps each partition's offset in the commit that holds its rows, so a
redelivered record changes nothing. The position's name holds the cluster's id as well: the embedded broker starts
anew with offsets from 0, and those are other records than the ones of yesterday.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from consumers.records import Outcome, Record
from core.errors import RefusedRecord
from core.messages import Labelled, OracleLabel
from core.settings import Settings
from core.topics import ORACLE_LABELS
from offline.label_store import Entry, LabelStore, Origin


@dataclass
class LabelsStage:
    """Sink of oracle.labels. `cluster` tells one broker's offsets from another's."""

    store: LabelStore
    cluster: str
    name: str = "labels"
    source: str = ORACLE_LABELS

    def decode(self, record: Record) -> Entry:
        labelled = Labelled.from_bytes(record.body)
        for name, label in labelled.labels.items():
            _check(name, label)
        origin = Origin(f"{self.cluster}/{record.topic}/{record.partition}", record.offset)
        return Entry.from_message(labelled, origin, datetime.fromtimestamp(record.timestamp_ms / 1000, UTC))

    def handle(self, batch: Sequence[Entry]) -> Sequence[Outcome]:
        """Nothing is published: the outcome of a label is its row."""
        self.store.append(batch)
        return [()] * len(batch)


async def open_stage(settings: Settings) -> LabelsStage:
    """The stage on the configured store, for the cluster that answers now."""
    return LabelsStage(LabelStore(settings.label_store), await cluster_id(settings))


async def cluster_id(settings: Settings) -> str:
    """The id that the brokers give their cluster; the embedded broker has a new one at every start."""
    from aiokafka.admin import AIOKafkaAdminClient

    from core.kafka_options import client_options

    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


def _check(name: str, label: OracleLabel) -> None:
    """A label that training could not use must not enter the store."""
    if not label.scores:
        raise RefusedRecord("wrong_type", f"{name}: no scores")
    for dimension, score in label.scores.items():
        if not 0 <= score <= 10:
            raise RefusedRecord("score_out_of_range", f"{name}: {dimension} is {score!r}, scores are 0-10")
    if not 0 < label.propensity <= 1:
        raise RefusedRecord(
            "wrong_type", f"{name}: propensity is {label.propensity!r}, a probability above 0 is needed"
        )
