import multiprocessing
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import NotReleasedError, PackageError, SettingsError
from core.settings import Settings
from offline.activation import Activated
from offline.label_store import Entry, LabelStore, Origin, StoredLabel
from offline.retrain import parse_condition, retrain


@dataclass(frozen=True)
class FakeCandidate:
    labels: int = 42


def accept(_candidate: FakeCandidate) -> Activated:
    return Activated("demo", "v2", "0" * 64, Path("demo/v2"), "v1")


def refuse(_candidate: FakeCandidate) -> Activated:
    raise NotReleasedError("demo is not released: MAE is worse.")


def fill(settings: Settings, count: int, start: int = 0) -> None:
    labels = [
        StoredLabel(f"a{i}", "demo", "v1", {"a": 1.0}, "replay", time=datetime(2026, 11, 24, tzinfo=UTC))
        for i in range(start, start + count)
    ]
    LabelStore(settings.label_store).append([Entry(Origin("test", start), None, labels)])


@pytest.fixture
def settings(tmp_path) -> Settings:
    settings = Settings(home=tmp_path)
    fill(settings, 30)
    return settings


def run(settings: Settings, release=accept, new_labels: int | None = None):
    seen = []
    result = retrain(settings, "demo", (lambda at: seen.append(str(at)) or FakeCandidate(), release), new_labels)
    return result, seen


def test_a_run_names_its_snapshot_and_version_in_one_line(settings):
    result, seen = run(settings)
    assert seen == [result.snapshot] == ["a1.l1"]
    assert result.outcome == "released"
    assert "demo: released: v2 on 42 articles, before v1 [a1.l1]" in result.line
    assert "\n" not in result.line


def test_it_waits_until_enough_labels_are_new(settings):
    assert run(settings, new_labels=31)[0].outcome == "waiting"
    assert run(settings, new_labels=30)[0].outcome == "released"
    result, seen = run(settings, new_labels=10)
    assert (result.outcome, seen) == ("waiting", [])
    assert "0 of 10 new labels" in result.line
    fill(settings, 10, start=30)
    assert run(settings, new_labels=10)[0].outcome == "released"


def test_a_refusal_is_a_verdict_and_not_tried_again_on_the_same_labels(settings):
    assert run(settings, refuse)[0].outcome == "refused"
    assert run(settings, new_labels=1)[0].outcome == "waiting"


def test_a_failure_is_a_line_and_tried_again(settings):
    def fail(_candidate):
        raise PackageError("The trunk is missing.", action="Restore it.")

    result, _ = run(settings, fail)
    assert (result.outcome, "The trunk is missing. Restore it." in result.line) == ("failed", True)
    assert run(settings, new_labels=30)[0].outcome == "released"


def test_an_empty_store_is_a_failure_that_says_what_to_do(tmp_path):
    result, _ = run(Settings(home=tmp_path / "empty"))
    assert result.outcome == "failed"
    assert "labels import" in result.line


def _slow_run(home: str, started, finish) -> None:
    def train(_at) -> FakeCandidate:
        started.set()
        finish.wait(60)
        return FakeCandidate()

    retrain(Settings(home=Path(home)), "demo", (train, accept))


def test_two_at_once_do_not_collide_and_a_killed_one_leaves_no_lock(settings):
    context = multiprocessing.get_context("spawn")
    started, finish = context.Event(), context.Event()
    other = context.Process(target=_slow_run, args=(str(settings.home), started, finish))
    other.start()
    assert started.wait(60)
    assert run(settings)[0].outcome == "busy"
    other.kill()
    other.join(30)
    deadline = time.monotonic() + 10
    while (result := run(settings)[0]).outcome == "busy" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert result.outcome == "released"


@pytest.mark.parametrize("text", ["", "200", "many new labels", "-1 new labels"])
def test_conditions_are_read_strictly(text):
    assert parse_condition(" 200 new labels ") == 200
    with pytest.raises(SettingsError, match="200 new labels"):
        parse_condition(text)
