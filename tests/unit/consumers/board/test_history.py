import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from consumers.board.history import HistoryWriter
from consumers.board.queries import History, Selection
from consumers.board.views import View
from core import topics
from core.article import Article
from tests.support.board_records import articles, dead, labelled, record, scored, stream


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "board.sqlite"


def rows(path: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(path) as connection:
        return connection.execute(sql).fetchall()


def test_every_verdict_is_listed_newest_first(path: Path):
    made = list(stream(articles(120), seed=1))
    writer = HistoryWriter(path)
    assert writer.apply(made) == 0
    history = History(path)
    scored_ids = [orjson.loads(r.body)["id"] for r in made if r.topic == topics.SCORED]
    listed = [item.id for item in history.select(Selection(View(), limit=500))]
    assert listed == scored_ids[::-1]
    rejected = [r for r in made if r.topic == topics.REJECTED]
    assert len(history.select(Selection(View(show="rejected"), limit=500))) == len(rejected) > 0


def test_redelivery_changes_nothing(path: Path):
    made = list(stream(articles(60), seed=2))
    writer = HistoryWriter(path)
    writer.apply(made)

    def content() -> list[list[tuple]]:
        tables = ("articles", "verdicts", "tallies", "labels", "dead", "search")
        return [sorted(rows(path, f"SELECT * FROM {table}")) for table in tables]

    before = content()
    writer.apply(made)
    writer.apply(made[::-1][:40])
    assert content() == before


def test_batches_do_not_matter(path: Path, tmp_path: Path):
    made = list(stream(articles(80), seed=3))
    whole, pieces = HistoryWriter(path), HistoryWriter(tmp_path / "other.sqlite")
    whole.apply(made)
    for item in made:
        pieces.apply([item])
    query = "SELECT id, kind, at_ms, seq, title, teaser, notable, filters FROM articles ORDER BY id"
    assert rows(path, query) == rows(tmp_path / "other.sqlite", query)
    assert rows(path, "SELECT * FROM tallies") == rows(tmp_path / "other.sqlite", "SELECT * FROM tallies")


def test_a_new_release_replaces_the_verdict_and_moves_it_up(path: Path):
    article, rng = articles(1)[0], random.Random(4)
    writer, history = HistoryWriter(path), History(path)
    first, second = scored(article, rng), replace(scored(article, rng), releases="6" * 64)
    writer.apply([record(topics.SCORED, article.id, first.to_bytes(), 0, 1_000)])
    seq = history.newest_seq()
    writer.apply([record(topics.SCORED, article.id, second.to_bytes(), 1, 2_000)])
    (item,) = history.select(Selection(View()))
    assert (item.at_ms, item.releases) == (2_000, "6" * 64)
    assert [found.id for found in history.select(Selection(View(), newer_than=seq))] == [article.id]
    assert sum(sum(tiers.values()) for tiers in history.tallies().values()) == len(second.filters)


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b'{"schema": 2}', b'{"schema": 1}', b'{"schema": 1, "id": "x", "filters": 3}',
     b'{"schema": 1, "id": "x", "title": 7, "filters": {"a": null}}', b"\xff\xfe", b"null"],
)  # fmt: skip
@pytest.mark.parametrize("topic", [topics.SCORED, topics.REJECTED, topics.GATED, topics.ORACLE_LABELS, topics.RELEASES])
def test_foreign_records_are_skipped_and_do_not_stop_their_neighbours(path: Path, topic: str, body: bytes):
    good = list(stream(articles(3), seed=5))
    writer = HistoryWriter(path)
    assert writer.apply([record(topic, "k", body, 9, 1_000), *good]) == 1
    assert rows(path, "SELECT count(*) FROM articles") == [(3,)]


@pytest.mark.parametrize(
    "change",
    [{"tier": None}, {"weighted": "5"}, {"weighted": True}, {"interval": [1]}, {"interval": ["a", "b"]},
     {"scores": [1]},
     {"scores": {"a": None}}, {"stage": 7}, {"version": None}],
    ids=str,
)  # fmt: skip
def test_a_verdict_that_pages_could_not_show_is_skipped(path: Path, change: dict):
    article = articles(1)[0]
    body = orjson.loads(scored(article, random.Random(1)).to_bytes())
    body["filters"]["uplifting"] |= change
    writer = HistoryWriter(path)
    assert writer.apply([record(topics.SCORED, "k", orjson.dumps(body), 0, 1)]) == 1
    assert rows(path, "SELECT count(*) FROM articles") == [(0,)]


@pytest.mark.parametrize(
    "change", [{"propensity": None}, {"scores": {"a": "x"}}, {"cost_usd": "1"}, {"surprise": 1}], ids=str
)
def test_a_label_that_figures_could_not_use_is_skipped(path: Path, change: dict):
    body = orjson.loads(labelled_always(articles(1)[0]).to_bytes())
    for label in body["labels"].values():
        label |= change
    assert HistoryWriter(path).apply([record(topics.ORACLE_LABELS, "k", orjson.dumps(body), 0, 1)]) == 1
    assert rows(path, "SELECT count(*) FROM labels") == [(0,)]


def test_the_file_is_bounded(path: Path):
    writer = HistoryWriter(path, limit=1_000)
    made = list(stream(articles(3_000), seed=6))
    for start in range(0, len(made), 250):
        writer.apply(made[start : start + 250])
    newest = {orjson.loads(r.body)["id"] for r in made if r.topic in (topics.SCORED, topics.REJECTED)}
    kept = {row[0] for row in rows(path, "SELECT id FROM articles ORDER BY at_ms DESC LIMIT 1000")}
    assert rows(path, "SELECT count(*) FROM articles")[0][0] <= 1_500
    assert kept <= newest
    assert "article-7-2999" in kept
    assert "article-7-0" not in kept
    for table, key in (("verdicts", "n"), ("search", "rowid")):
        assert rows(path, f"SELECT count(*) FROM {table} WHERE {key} NOT IN (SELECT n FROM articles)") == [(0,)]
    tallied = rows(path, "SELECT sum(count) FROM tallies")[0][0]
    assert tallied == rows(path, "SELECT count(*) FROM verdicts")[0][0]


@pytest.mark.parametrize("damage", ["another version", "no database"])
def test_a_file_of_another_kind_is_built_anew(path: Path, damage: str):
    HistoryWriter(path).apply(list(stream(articles(5), seed=7)))
    if damage == "another version":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        for file in path.parent.iterdir():
            file.write_bytes(b"this is not a database, " * 400)
    writer = HistoryWriter(path)
    assert writer.positions() == {}
    assert writer.apply(list(stream(articles(5), seed=7))) == 0


def test_the_text_is_found_whichever_record_came_first(path: Path):
    article = Article("a", "Tram line opens", "Passengers sang", language="en")
    rng = random.Random(8)
    verdict = record(topics.SCORED, "a", scored(article, rng).to_bytes(), 0, 1_000)
    labels = record(topics.ORACLE_LABELS, "a", labelled_always(article).to_bytes(), 0, 2_000)
    writer, history = HistoryWriter(path), History(path)
    writer.apply([verdict])
    assert not history.select(Selection(View(query="sang")))
    writer.apply([labels])
    assert [item.teaser for item in history.select(Selection(View(query="sang")))] == ["Passengers sang"]
    assert history.labels("a")


def labelled_always(article: Article):
    for seed in range(1_000):
        rng = random.Random(seed)
        if labels := labelled(scored(article, rng, keen=1), rng):
            return labels
    raise AssertionError("no seed asks the oracle")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("forest", {"en"}), ("FOREST", {"en"}), ("fores", {"en"}), ("δάσος", {"el"}), ("δασος", {"el"}),
        ("森林", {"zh"}), ("種植", {"zh"}), ("forest harbour", {"en"}), ("forest 森林", set()),
        ('"', set()), ("-", set()), ("*", set()), ("AND OR NOT", set()), ("title:forest", set()),
        ("forest NEAR(", set()),
    ],
)  # fmt: skip
def test_search_in_every_script_and_with_hostile_words(path: Path, query: str, found: set[str]):
    texts = {
        "en": Article("en", "The forest returns", "x", source="The Harbour", language="en"),
        "el": Article("el", "Το χωριό φυτεύει το δάσος", "x", language="el"),
        "zh": Article("zh", "社區重新種植了森林", "x", language="zh"),
    }
    writer = HistoryWriter(path)
    rng = random.Random(9)
    writer.apply([record(topics.SCORED, a.id, scored(a, rng).to_bytes(), i, i) for i, a in enumerate(texts.values())])
    assert {item.id for item in History(path).select(Selection(View(query=query)))} == found


def test_dead_letters_and_releases(path: Path):
    release = orjson.dumps({"schema": 1, "name": "uplifting", "version": "v7", "sha256": "a" * 64})
    writer, history = HistoryWriter(path), History(path)
    writer.apply([dead("wrong_type", 0, 5_000), dead("wrong_type", 0, 6_000), dead("too_large", 1, 7_000)])
    assert rows(path, "SELECT reason, stage FROM dead ORDER BY at_ms") == [
        ("wrong_type", "screen"),
        ("too_large", "screen"),
    ]
    writer.apply([record(topics.RELEASES, "uplifting", release, 0, 1_000)])
    assert [row["version"] for row in history.announced()] == ["v7"]
    writer.apply([record(topics.RELEASES, "uplifting", None, 1, 2_000)])
    assert history.announced() == []


def test_positions_are_those_of_the_last_records(path: Path):
    made = list(stream(articles(20), seed=10))
    HistoryWriter(path).apply(made)
    last = {(r.topic, r.partition): (r.offset, r.timestamp_ms, r.key) for r in made}
    assert HistoryWriter(path).positions() == last
