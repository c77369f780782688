"""The demo with deterministic models: its books balance, and it notices when they do not."""

from pathlib import Path

import pytest

from consumers.dead import DeadLetter
from consumers.records import Record
from core.errors import StillhouseError
from core.settings import Settings
from front import demo
from front.tally import Tally
from tests.support.fakes import fake_loader, write_filters

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, filters=(write_filters(tmp_path),))


def test_every_sample_has_one_outcome(settings: Settings) -> None:
    finished = demo.run_demo(settings, fake_loader(settings))
    counts = finished.tally.counts()
    assert counts["faults"] == []
    assert counts["published"] == 120
    assert counts["dead"] == {"id_conflict": 1, "not_json": 1, "not_utf8": 1, "wrong_type": 1}
    assert counts["rejected"].items() >= {"duplicate": 3, "consent_wall": 2, "too_short": 1}.items()
    assert counts["oracle_requests"] > 0
    assert finished.first_outcome_sec <= finished.total_sec


def test_only_the_first_lines_are_taken_where_a_count_is_given(settings: Settings) -> None:
    assert demo.run_demo(settings, fake_loader(settings), count=5).tally.counts()["published"] == 5


def test_nothing_of_a_demo_stays_in_the_home(settings: Settings) -> None:
    before = sorted(settings.home.rglob("*"))
    demo.run_demo(settings, fake_loader(settings), count=3)
    assert sorted(settings.home.rglob("*")) == before


def test_a_file_without_articles_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(StillhouseError, match="holds no article"):
        demo.run_demo(settings, fake_loader(settings), tmp_path / "empty.jsonl")


def scored(identifier: str, oracle: str | None = None) -> dict:
    return {"id": identifier, "filters": {"alpha": {"oracle": oracle}}}


LETTER = DeadLetter(Record("articles.raw", 0, 0, 0, b"c", b""), "screen", "not_json", "", "", 1, False)


@pytest.mark.parametrize(
    ("tally", "fault"),
    [
        (Tally(published=3, scored=[scored("a")], dead=[LETTER]), "3 articles were published, but 2 outcomes"),
        (Tally(published=2, scored=[scored("a"), scored("a")]), "more than one outcome for a"),
        (Tally(published=1, scored=[scored("a", "audit")]), "1 articles were to be asked about, 0 requests"),
    ],
    ids=["lost", "twice", "unasked"],
)
def test_books_that_do_not_balance_are_noticed(tally: Tally, fault: str) -> None:
    (found,) = tally.faults()
    assert fault in found


def test_balanced_books_have_no_fault() -> None:
    tally = Tally(published=3, scored=[scored("a", "audit")], rejected=[{"id": "b"}], dead=[LETTER], requests=1)
    assert tally.faults() == []


def test_a_redelivered_record_counts_once() -> None:
    tally = Tally(published=1)
    assert [tally.is_new("articles.scored", b"same bytes") for _ in range(3)] == [True, False, False]
    assert tally.counts()["redelivered"] == 2


def test_a_line_repeated_byte_for_byte_is_published_once(settings: Settings, tmp_path: Path) -> None:
    line = b'{"id": "one", "title": "A line of a feed that came twice", "text": "With some words in it."}\n'
    (tmp_path / "twice.jsonl").write_bytes(line + line)
    assert demo.run_demo(settings, fake_loader(settings), tmp_path / "twice.jsonl").tally.counts()["published"] == 1
