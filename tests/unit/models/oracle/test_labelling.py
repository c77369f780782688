"""`stillhouse oracle score`, with the real client against a local server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from starlette.responses import JSONResponse
from typer.testing import CliRunner

from models.oracle.batch import BatchRun
from stillhouse import build_app
from tests.support.fake_gemini import FakeGemini, fake_gemini, score_of
from tests.support.specs import write_package

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def fake() -> Iterator[FakeGemini]:
    with fake_gemini() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, fake: FakeGemini, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with one draft filter and 30 articles."""
    write_package(tmp_path / "filters", status="draft")
    lines = [{"id": f"id{number}", "title": "", "text": text(number)} for number in range(30)]
    (tmp_path / "articles.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    for name, value in variables(tmp_path, fake).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def variables(folder: Path, fake: FakeGemini) -> dict[str, str]:
    return {
        "GEMINI_API_KEY": "key",
        "GOOGLE_GEMINI_BASE_URL": fake.url,
        "STILLHOUSE_HOME": str(folder / "home"),
        "STILLHOUSE_FILTERS": str(folder / "filters"),
    }


def text(number: int) -> str:
    return f"Article {number} tells of a river."


def score(*arguments: str, expect: int = 0) -> dict:
    run = CliRunner().invoke(
        build_app(), ["oracle", "score", "articles.jsonl", "--filter", "demo", "--json", *arguments]
    )
    assert run.exit_code == expect, (run.output, run.exception)
    return orjson.loads(run.stdout.splitlines()[-1])


def labels(folder: Path) -> list[dict]:
    return [orjson.loads(line) for line in (folder / "articles.demo.labels.jsonl").read_bytes().splitlines()]


def test_a_file_is_labelled_with_scores_evidence_and_cost(folder: Path, fake: FakeGemini) -> None:
    summary = score("--limit", "5")
    assert (summary["labelled"], summary["failed"], summary["stopped"]) == (5, {}, None)
    assert summary["cost_usd"] == pytest.approx(fake.paid_usd, abs=1e-6)
    rows = labels(folder)
    assert {row["article_id"] for row in rows} == {f"id{number}" for number in range(5)}
    first = next(row for row in rows if row["article_id"] == "id0")
    assert first["scores"] == {d: score_of(text(0), "demo", d) for d in ("a", "b")}
    assert first["evidence"]["a"] == text(0)
    assert (first["oracle"], first["version"]) == ("gemini:gemini-2.5-flash", "v1")


def test_the_budget_stops_the_run_and_resume_continues_it(folder: Path, fake: FakeGemini) -> None:
    first = score("--budget", "0.003", expect=3)
    assert "budget" in first["stopped"]
    assert 0 < first["labelled"] < 30
    assert fake.paid_usd <= 0.003
    second = score("--resume")
    assert (second["labelled"], second["not_asked"]) == (30, 0)
    assert max(fake.calls.values()) == 1
    assert len(labels(folder)) == 30


def test_an_existing_file_is_not_overwritten(folder: Path) -> None:
    score("--limit", "1")
    run = CliRunner().invoke(build_app(), ["oracle", "score", "articles.jsonl", "--filter", "demo", "--limit", "1"])
    assert run.exit_code == 1
    assert "--resume" in str(run.exception)


def test_a_torn_last_line_is_mended(folder: Path) -> None:
    score("--limit", "3")
    file = folder / "articles.demo.labels.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    assert score("--limit", "3", "--resume")["paid_now_usd"] == 0
    assert len(labels(folder)) == 3


def test_failures_are_told_by_kind_and_may_be_paid_again(folder: Path, fake: FakeGemini) -> None:
    fake.answer = lambda asked: "not json" if asked.text in (text(1), text(2)) else None
    summary = score("--limit", "6")
    assert (summary["labelled"], summary["failed"]) == (4, {"not_json": 2})
    fake.answer = None
    assert score("--limit", "6", "--resume")["failed"] == {"not_json": 2}
    summary = score("--limit", "6", "--resume", "--retry-failed")
    assert (summary["labelled"], summary["failed"]) == (6, {})
    assert summary["cost_usd"] == pytest.approx(fake.paid_usd, abs=1e-6)


def test_a_run_without_money_stops_and_loses_nothing(
    folder: Path, fake: FakeGemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.answer = lambda asked: JSONResponse({"error": {"code": 402}}, 402) if fake.calls.total() > 10 else None
    with monkeypatch.context() as patch:
        patch.setenv("STILLHOUSE_ORACLE_TIMEOUT_SEC", "5")  # also how long a call waits for a pause to end
        first = score("--give-up-sec", "0.5", expect=3)
    assert "payment_required" in first["stopped"]
    fake.answer = None
    assert score("--resume")["labelled"] == 30
    assert max(fake.good.values()) == 1


def test_kills_pay_nothing_twice(folder: Path, fake: FakeGemini) -> None:
    fake.speed = 20.0
    command = [
        sys.executable,
        "-m",
        "stillhouse",
        "oracle",
        "score",
        str(folder / "articles.jsonl"),
        "--filter",
        "demo",
    ]
    environment = os.environ | variables(folder, fake) | {"PYTHONPATH": str(ROOT), "STILLHOUSE_ORACLE_CONCURRENCY": "2"}
    for _ in range(3):
        before = fake.calls.total()
        process = subprocess.Popen([*command, "--resume"], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        while fake.calls.total() < before + 4 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    summary = score("--resume")
    assert summary["labelled"] + summary["failed"].get("interrupted", 0) == 30
    assert set(summary["failed"]) <= {"interrupted"}
    assert max(fake.calls.values()) == 1


def test_the_batch_api_costs_half_and_refused_answers_are_asked_again(folder: Path, fake: FakeGemini) -> None:
    fake.answer = lambda asked: "not json" if asked.text == text(1) and not fake.calls[text(1)] else None
    summary = score("--batch", "--poll-sec", "0.01", "--limit", "10")
    assert (summary["labelled"], len(fake.batches)) == (10, 1)
    assert fake.calls.total() == 1
    rows = {row["article_id"]: row["cost_usd"] for row in labels(folder)}
    assert rows["id0"] == pytest.approx((1000 * 0.30 + 50 * 2.50) / 1e6 / 2)
    assert rows["id1"] > rows["id0"]


def test_a_batch_that_was_made_before_a_kill_is_found_again(
    folder: Path, fake: FakeGemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(BatchRun, "_named", lambda *_: sys.exit(9))
        run = CliRunner().invoke(
            build_app(), ["oracle", "score", "articles.jsonl", "--filter", "demo", "--batch", "--limit", "10"]
        )
        assert run.exit_code == 9
    summary = score("--batch", "--poll-sec", "0.01", "--limit", "10", "--resume")
    assert summary["labelled"] == 10
    assert (len(fake.batches), fake.calls.total()) == (1, 0)


def test_without_a_key_the_command_says_what_to_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    run = CliRunner().invoke(build_app(), ["oracle", "score", "articles.jsonl", "--filter", "demo"])
    assert run.exit_code == 1
    assert "GEMINI_API_KEY" in str(run.exception)


def test_the_replay_oracle_marks_its_labels(folder: Path, fake: FakeGemini, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [
        {"article_id": f"id{number}", "filter": "demo", "scores": {"a": 1, "b": 2.5}, "oracle": "somebody"}
        for number in range(3)
    ]
    (folder / "known.jsonl").write_bytes(b"\n".join(map(orjson.dumps, known)))
    monkeypatch.setenv("STILLHOUSE_ORACLE", "replay")
    monkeypatch.setenv("STILLHOUSE_ORACLE_REPLAY", "known.jsonl")
    summary = score("--limit", "4")
    assert (summary["labelled"], summary["failed"]) == (3, {"not_in_replay_file": 1})
    assert {row["oracle"] for row in labels(folder)} == {"replay:somebody"}
    assert summary["cost_usd"] == 0
    assert fake.calls.total() == 0
