from pathlib import Path

import numpy as np
import orjson
import pytest

from core.errors import NotReleasedError, PackageError
from core.package import load_package
from core.releases import load_activation
from offline.activation import activate, rollback, trained_versions
from offline.release import release
from tests.support.specs import write_package

TRUTH = np.random.default_rng(0).uniform(0, 9, 300).astype(np.float32)


def predictor(noise: dict[str, float]):
    """Weighted scores by the name of the folder above the version: `candidate` or the filter's own."""

    def predict(folder: Path) -> np.ndarray:
        scale = noise[folder.parents[1].name]
        return (TRUTH + np.random.default_rng(1).normal(0, scale, len(TRUTH))).astype(np.float32)

    return predict


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "filters"


def candidate(tmp_path: Path, version: str = "v1", **gate) -> Path:
    return write_package(tmp_path / "candidate", "demo", version, gate=gate or None)


def test_a_first_version_is_released_and_active(tmp_path, home):
    released = release([home], candidate(tmp_path), TRUTH, predictor({"candidate": 0.3})).activated
    assert (released.version, released.previous) == ("v1", None)
    assert load_activation([home]).filters == {"demo": "v1"}
    package = load_package(home / "demo" / "v1")
    assert package.manifest_sha256 == released.sha256
    assert package.manifest.metrics["release"]["accepted"] is True
    assert "Judged on 300 held-out articles" in (home / "demo" / "v1" / "README.md").read_text()


def test_a_better_candidate_becomes_the_next_version_and_the_old_one_stays(tmp_path, home):
    write_package(home, "demo", "v1")
    activate([home], "demo", "v1")
    before = (home / "demo" / "v1" / "manifest.json").read_bytes()
    released = release(
        [home], candidate(tmp_path, threshold=0.2), TRUTH, predictor({"candidate": 0.3, "filters": 0.6})
    ).activated
    assert (released.version, released.previous) == ("v2", "v1")
    assert load_package(released.folder).spec.version == "v2"
    assert (home / "demo" / "v1" / "manifest.json").read_bytes() == before
    assert rollback([home], "demo").version == "v1"
    assert load_activation([home]).filters == {"demo": "v1"}
    assert rollback([home], "demo", to="v2").version == "v2"


def test_a_worse_candidate_changes_nothing(tmp_path, home):
    write_package(home, "demo", "v1")
    activate([home], "demo", "v1")
    with pytest.raises(NotReleasedError, match="worse by up to"):
        release([home], candidate(tmp_path, threshold=0.2), TRUTH, predictor({"candidate": 0.9, "filters": 0.3}))
    assert load_activation([home]).filters == {"demo": "v1"}
    assert trained_versions([home], "demo") == ["v1"]


def test_the_active_version_is_not_released_again_under_another_name(tmp_path, home):
    write_package(home, "demo", "v1")
    activate([home], "demo", "v1")
    with pytest.raises(PackageError, match="is the active v1"):
        release([home], candidate(tmp_path), TRUTH, predictor({"candidate": 0.3, "filters": 0.3}))


def test_a_draft_becomes_its_first_model(tmp_path, home):
    draft = home / "demo" / "v1"
    draft.mkdir(parents=True)
    source = candidate(tmp_path, threshold=0.1)
    config = (source / "config.yaml").read_text()
    (draft / "config.yaml").write_text(config.replace("development", "draft"))
    released = release([home], source, TRUTH, predictor({"candidate": 0.3})).activated
    assert released.folder == draft
    assert load_package(draft).spec.status == "development"


def test_a_damaged_candidate_is_refused_before_anything_is_compared(tmp_path, home):
    folder = candidate(tmp_path)
    (folder / "gate.json").write_bytes(orjson.dumps({"threshold": 9}))
    with pytest.raises(PackageError, match="sha256 differs"):
        release([home], folder, TRUTH, predictor({}))


def test_rollback_without_an_earlier_version_says_so(home):
    write_package(home, "demo", "v1")
    activate([home], "demo", "v1")
    with pytest.raises(PackageError, match="no trained version before v1"):
        rollback([home], "demo")


@pytest.mark.parametrize("named", [{"other": "v1"}, {}], ids=["others-active", "first-ever"])
def test_a_release_into_an_overlay_keeps_the_commerce_head(tmp_path, home, named):
    home.mkdir()
    (home / "releases.json").write_bytes(orjson.dumps({"filters": named, "commerce": "v7"}))
    overlay = tmp_path / "overlay"
    release([home, overlay], candidate(tmp_path), TRUTH, predictor({"candidate": 0.3}))
    active = load_activation([home, overlay])
    assert (active.filters, active.commerce) == ({**named, "demo": "v1"}, "v7")
