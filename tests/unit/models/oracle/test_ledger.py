"""The ledger: what was asked, what it cost, and that nothing is sent twice."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.oracle.ledger import Busy, Finished, Intent, Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "oracle.db"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(path)


def intent(key: str = "k", replay: int = 0) -> Intent:
    return Intent(key, "stream", ("a", "b"), 0.004, replay)


def test_an_answer_is_given_again_without_a_call(ledger: Ledger) -> None:
    assert ledger.begin(intent(), 0.0) is None
    ledger.finish("k", "answered", {"oracle": "x"}, 0.003)
    assert ledger.begin(intent(), 1.0) == Finished("answered", {"oracle": "x"}, 0.003)
    assert ledger.begin(intent(replay=5), 1.0) == Finished("answered", {"oracle": "x"}, 0.003)


def test_a_call_on_its_way_is_not_sent_a_second_time(ledger: Ledger) -> None:
    ledger.begin(intent(), 0.0)
    assert ledger.begin(intent(), 30.0) == Busy()


def die_asking(path: Path, estimate_usd: float) -> None:
    """A process that ends between intent and answer."""
    begin = f"Ledger(Path(sys.argv[1])).begin(Intent('k', 'stream', ('a',), {estimate_usd}), 0.0)"
    work = f"import os, sys; from models.oracle.ledger import *; {begin}; os._exit(9)"
    assert subprocess.run([sys.executable, "-c", work, path], check=False).returncode == 9


def test_a_call_whose_process_died_ends_at_its_expected_cost_and_is_not_repeated(ledger: Ledger, path: Path) -> None:
    die_asking(path, estimate_usd=0.004)
    end = ledger.begin(intent(), 100.0)
    assert isinstance(end, Finished)
    assert (end.state, end.outcome["reason"], end.cost_usd) == ("failed", "interrupted", 0.004)
    assert ledger.begin(intent(), 101.0) == end


def test_a_free_call_whose_process_died_is_sent_again(ledger: Ledger, path: Path) -> None:
    die_asking(path, estimate_usd=0.0)
    assert ledger.begin(intent(), 100.0) is None


def test_a_replay_opens_a_failed_ask_once_and_keeps_its_cost(ledger: Ledger) -> None:
    ledger.begin(intent(), 0.0)
    ledger.finish("k", "failed", {"reason": "not_json", "detail": ""}, 0.003)
    assert ledger.begin(intent(replay=1), 1.0) is None
    ledger.finish("k", "failed", {"reason": "not_json", "detail": ""}, 0.003)
    end = ledger.begin(intent(replay=1), 2.0)
    assert isinstance(end, Finished)
    assert end.cost_usd == pytest.approx(0.006)


def test_an_unpaid_call_is_sent_again(ledger: Ledger) -> None:
    ledger.begin(intent(), 0.0)
    ledger.postpone("k", 0.001)
    assert ledger.begin(intent(), 0.1) is None
    assert ledger.finish("k", "answered", {}, 0.002).cost_usd == pytest.approx(0.003)


def test_a_decision_is_made_once(ledger: Ledger) -> None:
    assert ledger.decide("r", 0.0, {"admitted": {"a": 0.5}}) == {"admitted": {"a": 0.5}}
    assert ledger.decide("r", 1.0, {"admitted": {}}) == {"admitted": {"a": 0.5}}


def test_spending_counts_calls_on_their_way_and_survives_a_restart(ledger: Ledger, path: Path) -> None:
    ledger.begin(intent("done"), 10.0)
    ledger.finish("done", "answered", {}, 0.003)
    ledger.begin(intent("underway"), 20.0)
    ledger.begin(intent("unpaid"), 30.0)
    ledger.postpone("unpaid", 0.0)
    ledger.close()
    spends = Ledger(path).spending("stream", since=0.0)
    assert {spend.key: spend.cost_usd for spend in spends} == {"done": 0.003, "underway": 0.004}
    assert spends[0].filters == ("a", "b")
