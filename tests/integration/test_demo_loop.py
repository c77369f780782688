"""The learning loop of `stillhouse demo --loop`, with random weights of a few kilobytes in place of the real ones."""

import shutil

import orjson
import pytest

from consumers.embedded import embedded_broker
from core.settings import PROJECT, load_settings
from front.demo import own_machine
from front.demo_loop import run_loop
from front.learner import NAME, SAMPLES, TEACHER, Sizes
from models.weights import encoder_model
from tests.support.release import Widths, _encoder, random_head, resign, tiny_home, write_commerce, write_trunk
from tests.support.specs import write_package

SIZES = Sizes(first=24, streamed=80, after=24)
DIMENSIONS = 6


@pytest.fixture
def settings(tmp_path):
    """A machine whose only filter is the teacher, on a trunk that keeps a fifth of the samples back."""
    filters, widths = tmp_path / "filters", Widths()
    write_trunk(filters)
    trunk = filters / "trunks" / "tiny" / "v1"
    ids = [orjson.loads(line)["id"] for line in (SAMPLES / "articles.jsonl").read_bytes().splitlines()]
    sides = {name: ("test", "val", *["train"] * 8)[row % 10] for row, name in enumerate(ids)}
    (trunk / "split.json").write_bytes(orjson.dumps(sides))
    resign(trunk)
    folder = write_package(filters, TEACHER, "v6")
    for name in ("config.yaml", "prompt.md"):
        shutil.copyfile(PROJECT / "filters" / TEACHER / "v6" / name, folder / name)
    random_head(widths.state + widths.embedding, DIMENSIONS, 0).save(folder / "head.safetensors")
    random_head(widths.embedding, DIMENSIONS + 1, 0).save(folder / "probe.safetensors")
    write_commerce(filters, widths)
    (filters / "releases.json").write_bytes(orjson.dumps({"filters": {TEACHER: "v6"}, "commerce": "v2"}))
    settings = load_settings(home=tiny_home(tmp_path / "home"), filters=(filters,), engine="openvino")
    for package in (folder, filters / "commerce" / "v2"):
        resign(package, encoder=_encoder().model_copy(update={"revision": encoder_model(settings).revision}))
    return settings


@pytest.mark.timeout(280)
def test_a_filter_learns_while_the_stream_runs(settings, monkeypatch):
    monkeypatch.setattr("offline.training.workshop.ENCODER_TOKENS", _encoder().max_tokens)
    monkeypatch.setattr("offline.verdict.MARGIN", 10.0)  # random weights learn nothing; test_verdict.py has the gate
    said: list[str] = []
    with own_machine(settings) as own, embedded_broker(own):
        run = run_loop(settings, own, SIZES, said.append)
    print("\n".join(said))
    result = run.to_dict()
    assert result["published"] == result["outcomes"] == SIZES.streamed + SIZES.after
    assert result["verdict"]["outcome"] == "released"
    assert set(result["scored_by_version"]) == {"v1", "v2"}
    assert len(result["release_sets"]) == 2
    assert run.second.verdict.accepted
    assert run.second.activated.previous == "v1"
    assert result["labels"] > SIZES.streamed / 2
    assert not (settings.filters[0] / NAME).exists()
