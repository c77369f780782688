"""`stillhouse train --trunk`: one command from labelled files to a trunk and the packages of all its filters."""

import json
import random

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import stillhouse
from core.inventory import check_all
from core.package import load_manifest
from core.spec import load_spec
from models.registry import load_cascade
from offline.dataset import DatasetError
from offline.training.corpus import load_library, sources_in
from offline.training.trunk import TrunkTrainer
from tests.support.release import tiny_settings

ARTICLES = 200
UNSURE = 40
RECIPE = {
    "name": "tiny",
    "version": "v2",
    "filters": ["demo/v1", "other/v1", "commerce/v2"],
    "sources": [{"name": "feed"}, {"name": "unsure", "labels": "unsure_labels.jsonl", "held_out": False}],
    "training": {
        "steps": 6,
        "rank": 2,
        "batch_size": 8,
        "max_tokens": 24,
        "warmup_steps": 2,
        "validate_every_steps": 3,
    },
}
COMMERCE = {
    "name": "commerce",
    "version": "v2",
    "status": "production",
    "description": "Selling rather than reporting",
    "dimensions": [{"name": "commerce", "weight": 1.0, "meaning": "Selling"}],
    "tiers": [{"name": "advertisement", "at_least": 6}],
    "gate": {"relevant_at": 6, "max_miss_rate": 0.02},
}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A tiny release whose trunk has a recipe, and labelled articles beside it."""
    settings = tiny_settings(tmp_path, ("demo", "other"))
    (filters,) = settings.filters
    (filters / "trunks" / "tiny" / "v2").mkdir(parents=True)
    (filters / "trunks" / "tiny" / "v2" / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    (filters / "commerce" / "v2" / "config.yaml").write_text(yaml.safe_dump(COMMERCE))
    (filters / "commerce" / "v2" / "prompt.md").write_text("Score how far the text sells something.\n")
    monkeypatch.setenv("STILLHOUSE_HOME", str(settings.home))
    monkeypatch.setenv("STILLHOUSE_FILTERS", str(filters))
    monkeypatch.setenv("STILLHOUSE_ENGINE", "torch")
    # A random encoder finds all texts alike, and near-duplicates stay on one side.
    monkeypatch.setattr("offline.training.corpus.near_duplicate_groups", lambda embeddings: np.arange(len(embeddings)))
    (tmp_path / "data").mkdir()
    names = {name: dimensions(filters, name) for name in ("demo/v1", "other/v1")}
    write_labelled(tmp_path / "data", "feed", range(ARTICLES), names)
    write_labelled(tmp_path / "data", "unsure", range(ARTICLES, ARTICLES + UNSURE), names)
    (tmp_path / "data" / "unsure_labels.jsonl").rename(filters / "trunks" / "tiny" / "v2" / "unsure_labels.jsonl")
    return settings


def dimensions(filters, name):
    return [
        dimension["name"] for dimension in yaml.safe_load((filters / name / "config.yaml").read_text())["dimensions"]
    ]


def write_labelled(folder, source, numbers, filters):
    """What an article is about decides what it scores."""
    rng = random.Random(4)
    pair = (folder / f"{source}_articles.jsonl", folder / f"{source}_labels.jsonl")
    with pair[0].open("w") as articles, pair[1].open("w") as labels:
        for number in numbers:
            good, sells = rng.random() < 0.3, rng.random() < 0.2
            words = ["river"] * (6 * good) + ["offer"] * (6 * sells) + rng.choices(["town", "council", "road"], k=8)
            text = " ".join(rng.sample(words, len(words)))
            articles.write(json.dumps({"id": str(number), "title": f"T {number}", "content": text}) + "\n")
            for name, names in filters.items():
                scores = dict.fromkeys(names, 6.0 * good + rng.random())
                labels.write(_label(number, *name.split("/"), scores))
            labels.write(_label(number, "commerce", "v2", {"commerce": 8.0 * sells + rng.random()}))


def _label(number, name, version, scores):
    record = {"article_id": str(number), "filter": name, "version": version, "scores": scores, "oracle": "a"}
    return json.dumps(record) + "\n"


def test_one_command_trains_the_trunk_and_every_filter_on_it_and_goes_on_after_a_kill(settings, tmp_path, monkeypatch):
    command = ["train", "--trunk", "tiny/v2", "--labels", str(tmp_path / "data"), "--json"]
    steps = []
    step = TrunkTrainer._train_step

    def killed_at_four(trainer, rows):
        steps.append(trainer.step)
        if len(steps) == 4:
            trainer.save()
            raise KeyboardInterrupt
        return step(trainer, rows)

    monkeypatch.setattr(TrunkTrainer, "_train_step", killed_at_four)
    app, runner = stillhouse.build_app(), CliRunner()
    assert runner.invoke(app, command).exit_code != 0
    monkeypatch.setattr(
        TrunkTrainer, "_train_step", lambda trainer, rows: steps.append(trainer.step) or step(trainer, rows)
    )
    result = runner.invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert steps == [0, 1, 2, 3, 3, 4, 5]
    reports = json.loads(result.stdout)
    assert set(reports) == {"demo/v1", "other/v1", "commerce/v2"}
    assert [finding.problem for finding in check_all(settings.filters) if "tiny/v1" not in finding.label] == [None] * 6
    (filters,) = settings.filters
    trunk = filters / "trunks" / "tiny" / "v2"
    assert {"recipe.yaml", "unsure_labels.jsonl"} <= set(load_manifest(trunk)[0].files), "what it was trained from"
    sides = json.loads((trunk / "split.json").read_text())
    assert {sides[str(number)] for number in range(ARTICLES)} == {"train", "val", "test"}
    assert {sides[str(number)] for number in range(ARTICLES, ARTICLES + UNSURE)} == {"train", "val"}
    cascade = load_cascade(settings)
    assert "trunks/tiny" in cascade.releases.versions
    assert cascade.models.commerce.doubted_at is not None


def test_articles_that_are_all_alike_cannot_be_split(settings, tmp_path, monkeypatch):
    monkeypatch.undo()
    (filters,) = settings.filters
    spec = load_spec(filters / "demo" / "v1" / "config.yaml")
    with pytest.raises(DatasetError, match="near-duplicates of each other"):
        load_library(sources_in(tmp_path / "data"), [spec], lambda articles: np.ones((len(articles), 4)) / 2)
