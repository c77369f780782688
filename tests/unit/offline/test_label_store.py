import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.article import Article
from core.messages import Labelled, OracleLabel
from offline.label_store import Entry, LabelStore, LabelStoreError, Origin, Snapshot, StoredLabel
from offline.stored import label_from_record

TIME = datetime(2026, 11, 24, 12, tzinfo=UTC)


def labelled(number: int) -> Labelled:
    article = Article(f"id{number}", f"Title {number}", f"Text number {number}.", source="wire")
    label = OracleLabel("v1", {"a": number % 11, "b": 2.5}, "replay", "abc", 0.25, "audit", 3.0, "scorer", 0.004)
    return Labelled(article, {"demo": label, "other": label}, "set")


def entries(offsets, partition: int = 0) -> list[Entry]:
    return [Entry.from_message(labelled(o), Origin(f"oracle.labels/{partition}", o), TIME) for o in offsets]


@pytest.fixture
def store(tmp_path) -> LabelStore:
    return LabelStore(tmp_path / "labels")


def test_a_record_comes_back_as_it_was_written(store):
    store.append(entries([7]))
    first, second = store.labels()
    assert (first.filter, second.filter) == ("demo", "other")
    assert first.scores == {"a": 7, "b": 2.5}
    assert (first.propensity, first.cost_usd, first.weighted, first.time) == (0.25, 0.004, 3.0, TIME)
    assert store.articles() == {"id7": labelled(7).article}


def test_redelivery_in_other_batches_changes_nothing(store):
    store.append(entries(range(6)))
    answer = store.append(entries(range(3, 9)))
    assert (answer.labels, answer.skipped) == (6, 3)
    assert store.append(entries(range(9))).labels == 0
    assert Counter(label.article_id for label in store.labels()) == {f"id{i}": 2 for i in range(9)}
    assert store.positions(["oracle.labels/0", "oracle.labels/1"]) == {"oracle.labels/0": 8}


def test_an_answer_that_was_published_twice_is_one_row(store):
    again = [Entry.from_message(labelled(3), Origin("oracle.labels/0", offset), TIME) for offset in (6, 7)]
    store.append(entries(range(6)))
    assert store.append(again).labels == 0
    assert Counter(label.article_id for label in store.labels()) == {f"id{i}": 2 for i in range(6)}
    assert store.positions(["oracle.labels/0"]) == {"oracle.labels/0": 7}


def test_a_kill_between_the_two_tables_is_mended_by_redelivery(store):
    store._append("articles", entries(range(4)))
    store.append(entries(range(6)))
    assert len(store.labels()) == 12
    assert len(store.articles()) == 6


def test_an_entry_whose_text_is_known_still_moves_the_position(store):
    store.append(entries([0]))
    again = Article("other-id", "Title 0", "Text number 0.")
    label = StoredLabel("other-id", "demo", "v1", {"a": 1}, "x", content=entries([0])[0].labels[0].content)
    answer = store.append([Entry(Origin("oracle.labels/0", 1), again, [label])])
    assert (answer.articles, answer.labels) == (0, 1)
    assert store.articles()["other-id"].text == "Text number 0."


def test_time_travel_reads_the_snapshot(store):
    store.append(entries([0]))
    name = str(store.snapshot())
    store.append(entries([1, 2]))
    then = Snapshot.parse(name)
    assert [label.article_id for label in store.labels("demo", at=then)] == ["id0"]
    assert list(store.articles(at=then)) == ["id0"]
    assert len(store.labels("demo")) == 3


def test_an_empty_store_and_a_wrong_snapshot_say_what_to_do(store):
    with pytest.raises(LabelStoreError, match="labels import"):
        store.labels()
    store.append(entries([0]))
    with pytest.raises(LabelStoreError, match="labels stats"):
        store.labels(at=Snapshot(99, 99))
    with pytest.raises(LabelStoreError, match="not a snapshot"):
        Snapshot.parse("latest")


@pytest.mark.parametrize(
    "record",
    [{}, {"article_id": "a", "filter": "f", "version": "v1", "oracle": "o", "scores": {"a": "high"}},
     {"article_id": "a", "filter": "f", "version": "v1", "oracle": "o", "scores": 3}],
    ids=["empty", "words", "number"],
)  # fmt: skip
def test_a_malformed_label_is_refused(record):
    with pytest.raises(LabelStoreError, match="Not a label"):
        label_from_record(record)


def test_labels_survive_the_jsonl_form(store):
    store.append(entries([3]))
    for label in store.labels():
        back = label_from_record(label.to_dict())
        assert back.identity == label.identity
        assert back.propensity == label.propensity


def _append_in_a_race(url: str, barrier, partition: int, offsets: range) -> None:
    barrier.wait()
    for start in range(0, len(offsets), 5):
        LabelStore(url).append(entries(offsets[start : start + 5], partition))


@pytest.mark.parametrize("partitions", [(0, 0), (0, 1)], ids=["same-partition", "two-partitions"])
def test_two_processes_at_once_write_every_row_once(tmp_path, partitions):
    url = str(tmp_path / "labels")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    ranges = (range(20), range(20) if partitions[1] == 0 else range(20, 40))
    jobs = [
        context.Process(target=_append_in_a_race, args=(url, barrier, partition, offsets))
        for partition, offsets in zip(partitions, ranges, strict=True)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0]
    expected = {f"id{o}": 2 for offsets in ranges for o in offsets}
    assert Counter(label.article_id for label in LabelStore(url).labels()) == expected


SINK = """
import sys
from pathlib import Path
from tests.unit.offline.test_label_store import entries
from offline.label_store import LabelStore

# The consumer's order: append, then commit the offset. Batches after a restart need not be those before it.
url, committed, total, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
store = LabelStore(url)
print("ready", flush=True)
while (start := int(committed.read_text())) < total:
    batch = range(start, min(total, start + size))
    store.append(entries(batch))
    temporary = committed.with_suffix(".new")
    temporary.write_text(str(batch.stop))
    temporary.replace(committed)
print("done", flush=True)
"""


@pytest.mark.parametrize(
    "kills", [6, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=["6-kills", "100-kills"]
)
def test_rows_are_written_exactly_once_across_kills(tmp_path, kills):
    """SIGKILL at random moments while the sink appends small batches; the records left are bounded, so it ends."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    url, committed = tmp_path / "labels", tmp_path / "offset"
    committed.write_text("0")
    total, killed = kills * 15, 0
    while True:
        command = [sys.executable, "-c", SINK, str(url), str(committed), str(total), str(rng.randint(1, 7))]
        sink = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ, cwd=Path(__file__).parents[3]
        )
        assert sink.stdout is not None
        assert sink.stdout.readline() == "ready\n"
        if killed == kills:
            assert sink.stdout.read() == "done\n"
            assert sink.wait(timeout=60) == 0
            break
        time.sleep(rng.uniform(0, 0.25))
        sink.send_signal(signal.SIGKILL)
        sink.wait()
        sink.stdout.close()
        killed += 1
    rows = Counter((label.article_id, label.filter) for label in LabelStore(url).labels())
    assert rows == {(f"id{i}", name): 1 for i in range(total) for name in ("demo", "other")}
    assert len(LabelStore(url).articles()) == total
