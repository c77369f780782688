import orjson
import pytest

from offline.label_store import LabelStore, LabelStoreError, Snapshot
from offline.transfer import companion, export_labels, import_labels, statistics


@pytest.fixture
def files(tmp_path):
    articles = [{"id": f"a{i}", "title": f"T{i}", "text": f"Text {i}", "language": "nl"} for i in range(3)]
    labels = [
        {"article_id": f"a{i}", "filter": "demo", "version": "v1", "scores": {"a": i}, "oracle": oracle}
        for i in range(3)
        for oracle in ("one", "two")
    ]
    (tmp_path / "set_articles.jsonl").write_bytes(b"\n".join(map(orjson.dumps, articles)))
    (tmp_path / "set_labels.jsonl").write_bytes(b"\n".join(map(orjson.dumps, labels)))
    return tmp_path / "set_labels.jsonl", tmp_path / "set_articles.jsonl"


@pytest.fixture
def store(tmp_path) -> LabelStore:
    return LabelStore(tmp_path / "store")


def test_importing_twice_changes_nothing(store, files):
    assert companion(files[0]) == files[1]
    first = import_labels(store, *files)
    assert (first.articles, first.labels, first.known, first.orphans) == (3, 6, 0, 0)
    snapshot = store.snapshot()
    again = import_labels(store, *files)
    assert (again.labels, again.known) == (0, 6)
    assert store.snapshot() == snapshot


def test_a_longer_file_adds_only_what_is_new(store, files):
    import_labels(store, *files)
    more = {"article_id": "a9", "filter": "demo", "version": "v1", "scores": {"a": 9}, "oracle": "one"}
    with files[0].open("ab") as stream:
        stream.write(b"\n" + orjson.dumps(more))
    result = import_labels(store, *files)
    assert (result.labels, result.known, result.orphans) == (1, 6, 1)


def test_export_gives_back_what_was_imported(store, files, tmp_path):
    import_labels(store, *files)
    out, articles_out = tmp_path / "out.jsonl", tmp_path / "articles.jsonl"
    assert export_labels(store, out, articles_out) == (6, 3)
    other = LabelStore(tmp_path / "other")
    import_labels(other, out, articles_out)
    assert [label.identity for label in other.labels()] == [label.identity for label in store.labels()]
    assert other.articles() == store.articles()


def test_export_of_a_past_snapshot(store, files, tmp_path):
    import_labels(store, files[0], files[1])
    then = Snapshot.parse(str(store.snapshot()))
    extra = tmp_path / "more.jsonl"
    extra.write_bytes(
        orjson.dumps({"article_id": "a0", "filter": "demo", "version": "v1", "scores": {"a": 3}, "oracle": "x"})
    )
    import_labels(store, extra, None)
    assert export_labels(store, tmp_path / "now.jsonl", None)[0] == 7
    assert export_labels(store, tmp_path / "then.jsonl", None, at=then)[0] == 6


def test_statistics_count_by_filter_and_oracle(store, files):
    import_labels(store, *files)
    stats = statistics(store)
    assert stats["snapshot"] == str(store.snapshot())
    assert stats["filters"][0] | {"latest": None} == {
        "filter": "demo", "version": "v1", "labels": 6, "articles": 3, "oracles": {"one": 3, "two": 3},
        "reasons": {"imported": 6}, "cost_usd": 0, "latest": None,
    }  # fmt: skip


def test_a_malformed_line_is_named_by_number(store, files):
    with files[0].open("ab") as stream:
        stream.write(b'\n{"article_id": "a1"}')
    with pytest.raises(LabelStoreError, match=r"set_labels\.jsonl:7"):
        import_labels(store, *files)
