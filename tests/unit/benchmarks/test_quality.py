"""The served engine and fp32 torch on labelled articles, both on tiny models."""

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from benchmarks import quality
from benchmarks.cli import bench
from benchmarks.quality import BOUND, measure_quality
from benchmarks.report import print_quality
from core.errors import StillhouseError
from models.engines.torch_gemma import TorchGemma
from tests.support.release import tiny_settings

NAMES = ("other", "third")
CAPPED = "demo"
"""Its gatekeeper caps every article at the same score."""


@pytest.fixture
def settings(tmp_path):
    """Of 60 labelled articles the trunk of the filters has not learned from 40."""
    settings = tiny_settings(tmp_path, (CAPPED, *NAMES))
    activate(settings, *NAMES)
    sides = {f"a{number}": "train" if number % 3 == 0 else "test" for number in range(60)}
    (settings.filters[0] / "trunks" / "tiny" / "v1" / "split.json").write_bytes(orjson.dumps(sides))
    return settings


def activate(settings, *names):
    active = {"filters": dict.fromkeys(names, "v1"), "commerce": "v2"}
    (settings.filters[0] / "releases.json").write_bytes(orjson.dumps(active))


@pytest.fixture
def data(tmp_path):
    folder, rng = tmp_path / "data", np.random.default_rng(3)
    folder.mkdir()
    for name, numbers in (("lenses", range(0, 60, 2)), ("written", range(1, 60, 2))):
        articles = [{"id": f"a{n}", "title": f"Title {n}", "text": f"Words on river {n}."} for n in numbers]
        labels = [
            {"article_id": f"a{n}", "filter": one, "version": "v1", "scores": {"a": rng.random() * 10, "b": n / 6}}
            for n in numbers
            for one in (CAPPED, *NAMES)
        ]
        (folder / f"{name}_articles.jsonl").write_bytes(b"\n".join(map(orjson.dumps, articles)))
        (folder / f"{name}_labels.jsonl").write_bytes(b"\n".join(map(orjson.dumps, labels)))
    return folder


def test_both_paths_are_compared_on_what_was_held_out(settings, data, capsys):
    result = measure_quality(settings, data, count=1_000)
    assert result["engine"].startswith("openvino-")
    assert [(row["filter"], row["articles"]) for row in result["filters"]] == [("other", 40), ("third", 40)]
    for row in result["filters"]:
        assert -1 < row["fp32"] < 1
        assert row["apart"] == row["served"] - row["fp32"]
        assert abs(row["apart"]) < 0.2
    print_quality(result)
    assert f"within {BOUND}" in capsys.readouterr().out


def test_engines_that_do_not_agree_are_found(settings, data, monkeypatch):
    class MixedUp(TorchGemma):
        """Gives each article the state of another."""

        def states(self, rows):
            return np.roll(super().states(rows), 1, axis=0)

    monkeypatch.setattr(quality, "TorchGemma", MixedUp)
    result = measure_quality(settings, data, count=1_000)
    assert not result["within"]
    assert max(abs(row["apart"]) for row in result["filters"]) > BOUND


def test_a_filter_that_ranks_nothing_is_named(settings, data):
    activate(settings, CAPPED)
    with pytest.raises(StillhouseError, match=r"demo: 40 labelled articles .* --count"):
        measure_quality(settings, data, count=1_000)


def test_labels_that_are_missing_are_named(settings, tmp_path):
    with pytest.raises(StillhouseError, match=r"lenses_articles\.jsonl.*written_labels\.jsonl.*--data"):
        measure_quality(settings, tmp_path, count=20)


@pytest.mark.parametrize(("apart", "code"), [(BOUND / 2, 0), (-2 * BOUND, 1)], ids=["within", "apart"])
def test_the_command_fails_where_a_filter_is_apart(monkeypatch, apart, code):
    row = {"filter": "demo", "articles": 40, "served": 0.5 + apart, "fp32": 0.5, "apart": apart}
    result = {"engine": "e", "bound": BOUND, "within": abs(apart) <= BOUND, "filters": [row]}
    monkeypatch.setattr(quality, "measure_quality", lambda *_: result)
    answer = CliRunner().invoke(bench, ["quality", "--json"])
    assert answer.exit_code == code
    assert orjson.loads(answer.stdout) == result
