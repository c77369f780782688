from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.article import Article
from core.spec import load_spec
from models.oracle.rubric import load_rubric
from offline.candidates import export_source, usable_labels
from offline.dataset import read_articles, read_labels
from offline.label_store import Entry, LabelStore, LabelStoreError, Origin, StoredLabel
from offline.training.packages import Draft
from tests.support.specs import write_package


@pytest.fixture
def draft(tmp_path) -> Draft:
    folder = write_package(tmp_path / "filters", "demo", "v2")
    return Draft(folder, load_spec(folder / "config.yaml"))


def label(article: str, prompt_hash: str | None, **changes) -> StoredLabel:
    values = {"article_id": article, "filter": "demo", "version": "v1", "scores": {"a": 1, "b": 2}, "oracle": "replay"}
    return StoredLabel(**(values | changes), prompt_hash=prompt_hash, time=datetime(2026, 11, 24, tzinfo=UTC))


def test_labels_of_the_stream_count_whatever_version_asked_for_them(draft):
    rubric = load_rubric(draft.folder).hash
    used = usable_labels(
        [label("a", rubric), label("b", None), label("c", "other"), label("d", rubric, scores={"a": 1})], draft
    )
    assert [(one.article_id, one.version) for one in used] == [("a", "v2"), ("b", "v2")]


def test_a_snapshot_becomes_the_files_that_training_reads(draft, tmp_path):
    store = LabelStore(tmp_path / "labels")
    articles = [Article(name, "Title", f"Text of {name}") for name in ("a", "b")]
    rubric = load_rubric(draft.folder).hash
    store.append([Entry(Origin("t", i), x, [label(x.id, rubric)]) for i, x in enumerate(articles)])
    at = store.snapshot()
    store.append([Entry(Origin("t", 9), Article("c", "T", "later"), [label("c", rubric)])])
    source = export_source(store, draft, at, tmp_path / "out")
    assert list(read_articles([source.articles])) == ["a", "b"]
    assert {(one.article_id, one.version) for one in read_labels([source.labels])} == {("a", "v2"), ("b", "v2")}


def test_labels_of_another_rubric_alone_are_an_error_that_says_so(draft, tmp_path):
    store = LabelStore(tmp_path / "labels")
    store.append([Entry(Origin("t", 0), Article("a", "T", "text"), [label("a", "other")])])
    with pytest.raises(LabelStoreError, match="1 labels of demo, none of them by its present rubric"):
        export_source(store, draft, store.snapshot(), Path(tmp_path / "out"))
