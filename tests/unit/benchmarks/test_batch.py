"""A whole batch through the real stream on tiny models; only the typical path is replaced."""

import time

import orjson
import pytest

from benchmarks import batch
from benchmarks.batch import PREDECESSOR_TOKENS, BatchPlan, measure_batch
from benchmarks.report import print_batch
from core.article import Article
from tests.support.release import resign, tiny_settings

ARTICLES = [
    Article(str(number), f"Title {number}", f"Some words on river {number} and its people.") for number in range(40)
]
TYPICAL_SEC = 0.02


class SlowPath:
    """Takes TYPICAL_SEC for a text, whatever it says."""

    made: list["SlowPath"]

    def __init__(self, base, adapter, max_tokens):
        self.max_tokens, self.texts = max_tokens, 0
        self.made.append(self)

    def score(self, texts):
        self.texts += len(texts)
        time.sleep(TYPICAL_SEC * len(texts))


@pytest.fixture
def typical(monkeypatch):
    SlowPath.made = []
    monkeypatch.setattr(batch, "TypicalPath", SlowPath)
    return SlowPath.made


@pytest.fixture
def settings(tmp_path):
    return tiny_settings(tmp_path, ("demo", "other"))


def test_every_article_passes_the_stream_and_a_sample_the_typical_path(settings, typical, capsys):
    result = measure_batch(settings, BatchPlan(ARTICLES, typical=8, check_gates=False))
    assert (result["articles"], result["scored"], result["filters"]) == (40, 40, 2)
    assert result["articles_per_sec"] == pytest.approx(40 / result["seconds"], rel=0.5)
    assert [path.max_tokens for path in typical] == [80, PREDECESSOR_TOKENS]
    assert [path.texts for path in typical] == [10, 10], "two to warm up, eight measured"
    for found in result["typical"]:
        assert found["articles_per_sec"] <= 1 / (2 * TYPICAL_SEC), "each of two filters costs a pass"
        expected = result["articles_per_sec"] / found["articles_per_sec"]
        assert found["times"] == pytest.approx(expected, rel=0.1)
    assert result["gates"] == {"closed_share": 0}, "no gate has a threshold"
    assert min(result["ms_per_article"].values()) > 0
    print_batch(result)
    assert "40 articles, 2 filters" in capsys.readouterr().out


def test_closed_gates_cost_the_recall_that_they_cost(settings, typical):
    folder = settings.filters[0] / "other" / "v1"
    (folder / "gate.json").write_bytes(orjson.dumps({"threshold": 1.5}))  # no probability reaches it
    resign(folder)
    gates = measure_batch(settings, BatchPlan(ARTICLES, typical=2, check_gates=True))["gates"]
    assert 0.4 < gates["closed_share"] <= 0.5, "all of one filter's but a few that are audited"
    assert gates["recall_against_no_gate"]["demo"] == 1
    assert gates["recall_against_no_gate"]["other"] < 0.2
    assert min(gates["relevant_without_gates"].values()) > 0
