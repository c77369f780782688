"""`stillhouse score` and the stream, with the shipped filters: the same bytes, in any order and batch size."""

import io
import random
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from core.cascade import Cascade
from core.claims import MemoryClaims
from core.errors import RefusedRecord
from core.jsonl import read_lines
from core.settings import Settings, load_settings
from front.demo import run_demo
from models.registry import ReleaseLoader
from models.score_file import score_lines

ARTICLES = Path("producers/samples/articles.jsonl").read_bytes().splitlines()[:24]

pytestmark = [pytest.mark.weights, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings()


@pytest.fixture(scope="module")
def cascade(settings: Settings) -> Iterator[Cascade]:
    return ReleaseLoader(settings).load().cascade


def score(cascade: Cascade, lines: list[bytes], batch: int) -> dict[str, bytes]:
    results = score_lines(cascade, read_lines(io.BytesIO(b"\n".join(lines))), MemoryClaims(), batch)
    outcomes = [result.outcome for result in results if not isinstance(result.outcome, RefusedRecord)]
    return {outcome.article.id: outcome.to_bytes() for outcome in outcomes}


@pytest.fixture(scope="module")
def expected(cascade: Cascade) -> dict[str, bytes]:
    return score(cascade, ARTICLES, batch=24)


@pytest.mark.parametrize("batch", [1, 5, 16])
def test_order_and_batch_size_change_no_byte(cascade: Cascade, expected: dict[str, bytes], batch: int) -> None:
    shuffled = random.Random(batch).sample(ARTICLES, len(ARTICLES))
    assert score(cascade, shuffled, batch) == expected


def test_the_stream_gives_the_same_records(
    settings: Settings, cascade: Cascade, expected: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "articles.jsonl").write_bytes(b"\n".join(ARTICLES))
    tally = run_demo(settings, lambda _: cascade, tmp_path / "articles.jsonl").tally
    assert {r["id"]: orjson.dumps(r) for r in (*tally.scored, *tally.rejected)} == expected
