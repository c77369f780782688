"""`stillhouse score` over deterministic models: order, reasons, and independence of the batch."""

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.claims import MemoryClaims
from core.errors import RefusedRecord
from core.jsonl import read_lines
from core.messages import Rejected
from core.package import load_package
from models.score_file import Result, score_lines
from tests.support.models import fake_cascade
from tests.support.specs import write_package

DEMO = Path("producers/samples/demo.jsonl").read_bytes()


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    root = tmp_path_factory.mktemp("filters")
    return fake_cascade({name: load_package(write_package(root, name)) for name in ("alpha", "beta")})


def run(cascade, text: bytes, batch: int = 256) -> list[Result]:
    return list(score_lines(cascade, read_lines(io.BytesIO(text)), MemoryClaims(), batch))


def test_every_line_has_one_result_in_order(cascade) -> None:
    results = run(cascade, DEMO, batch=7)
    assert [result.line for result in results] == list(range(1, 121))


def test_reasons_of_the_samples(cascade) -> None:
    outcomes = [result.outcome for result in run(cascade, DEMO)]
    refused = sorted(outcome.reason for outcome in outcomes if isinstance(outcome, RefusedRecord))
    by_rule = sorted(o.reason for o in outcomes if isinstance(o, Rejected) and o.reason != "commerce")
    assert refused == ["id_conflict", "not_json", "not_utf8", "wrong_type"]
    assert by_rule == ["consent_wall", "consent_wall", "duplicate", "duplicate", "duplicate", "too_short"]


@hypothesis_settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.integers(1, 200))
def test_the_batch_size_changes_no_byte(cascade, batch: int) -> None:
    def bodies(results: list[Result]) -> list[bytes]:
        return [r.outcome.to_bytes() for r in results if not isinstance(r.outcome, RefusedRecord)]

    assert bodies(run(cascade, DEMO, batch)) == bodies(run(cascade, DEMO))


def test_asked_marks_what_the_stream_would_send_to_the_oracle(cascade) -> None:
    results = [result for result in run(cascade, DEMO) if not isinstance(result.outcome, Rejected | RefusedRecord)]
    for result in results:
        assert result.asked == any(part.oracle for part in result.outcome.filters.values())
    assert any(result.asked for result in results)


def test_an_empty_input_gives_nothing(cascade) -> None:
    assert run(cascade, b"\n\n") == []
