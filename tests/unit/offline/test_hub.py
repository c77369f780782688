from pathlib import Path

import numpy as np
import orjson
import pytest
from safetensors.numpy import save

from core.errors import PackageError
from core.package import Manifest, TrunkRef, load_package, sha256_file, write_manifest
from models.lora import load_lora
from offline.hub import HubError, pull, push
from offline.peft_package import Template
from tests.support.hub_server import HubState, hub_server
from tests.support.specs import write_package

REPOSITORY = "someone/demo-filter"


@pytest.fixture
def hub(monkeypatch, tmp_path) -> HubState:
    from huggingface_hub import constants

    with hub_server() as (address, state):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield state


@pytest.fixture
def filters(tmp_path) -> Path:
    """A filter with a trunk."""
    root = tmp_path / "filters"
    trunk = root / "trunks" / "small" / "v1"
    (trunk / "adapter").mkdir(parents=True)
    (trunk / "adapter" / "adapter_config.json").write_text("{}")
    digest = write_manifest(trunk, Manifest(name="small", version="v1", files={}, max_tokens=8))
    folder = write_package(root, "demo", "v1")
    reference = TrunkRef(name="small", version="v1", sha256=digest)
    write_manifest(folder, Manifest(name="demo", version="v1", files={}, trunk=reference))
    return root


def by_content(root: Path, name: str, version: str) -> np.ndarray:
    """Scores that follow from the package's files."""
    digest = sha256_file(root / name / version / "gate.json")
    return np.array([int(digest[:4], 16), int(digest[4:8], 16)], dtype=np.float64)


def test_a_package_goes_to_the_hub_and_back_with_its_trunk(hub, filters, tmp_path):
    done = push([filters], filters / "demo" / "v1", REPOSITORY, by_content)
    assert (done.difference, hub.private[REPOSITORY]) == (0, True)
    other = tmp_path / "other"
    pulled = pull(REPOSITORY, other)
    assert (pulled.name, pulled.version, pulled.new, pulled.revision) == ("demo", "v1", True, done.revision)
    assert load_package(pulled.folder).manifest_sha256 == load_package(filters / "demo" / "v1").manifest_sha256
    assert (other / "trunks" / "small" / "v1" / "adapter" / "adapter_config.json").is_file()
    assert not pull(REPOSITORY, other).new
    assert not list(other.glob(".pull-*"))


def test_scores_that_differ_after_the_upload_fail_the_push(hub, filters):
    def unstable(root: Path, name: str, version: str) -> np.ndarray:
        return np.array([1.0 if root == filters else 1.25])

    with pytest.raises(HubError, match="scores differently"):
        push([filters], filters / "demo" / "v1", REPOSITORY, unstable)


def test_a_file_changed_on_the_hub_is_refused_and_nothing_is_left(hub, filters, tmp_path):
    push([filters], filters / "demo" / "v1", REPOSITORY, by_content)
    hub.corrupt["gate.json"] = b'{"threshold": 0.99}'
    with pytest.raises(PackageError, match="sha256 differs"):
        pull(REPOSITORY, tmp_path / "other")
    assert not (tmp_path / "other" / "demo").exists()


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/evil.json", "a/../../evil.json", "a\\..\\evil.json", "C:evil.json", "model.pkl", "x.py"],
)
def test_names_that_leave_the_package_or_could_run_are_refused(hub, tmp_path, name):
    hub.add(REPOSITORY, {name: b"{}", "config.yaml": b"name: demo"})
    with pytest.raises(HubError, match=r"leaves the package|no part of a package"):
        pull(REPOSITORY, tmp_path / "other")
    assert not list(tmp_path.rglob("*evil*"))


def test_another_content_under_a_released_version_is_refused(hub, filters, tmp_path):
    push([filters], filters / "demo" / "v1", REPOSITORY, by_content)
    write_package(tmp_path / "mine", "demo", "v1", gate={"threshold": 0.3})
    with pytest.raises(HubError, match="other content"):
        pull(REPOSITORY, tmp_path / "mine")
    assert load_package(tmp_path / "mine" / "demo" / "v1").gate.threshold == 0.3


@pytest.mark.parametrize("default", ["", ".default"], ids=["old-keys", "new-keys"])
def test_a_plain_peft_adapter_becomes_a_package(hub, tmp_path, default):
    rng = np.random.default_rng(0)
    tensors = {
        f"base_model.model.model.layers.0.self_attn.q_proj.lora_A{default}.weight": rng.random((2, 6), np.float32),
        f"base_model.model.model.layers.0.self_attn.q_proj.lora_B{default}.weight": rng.random((4, 2), np.float32),
        f"base_model.model.score{'.modules_to_save.default' if default else ''}.weight": rng.random((2, 6), np.float32),
    }
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "google/gemma-3-270m"}
    files = {"adapter_model.safetensors": save(tensors), "adapter_config.json": orjson.dumps(config)}
    hub.add(REPOSITORY, {**files, "README.md": b"# An adapter\n", "tokenizer.json": b"{}"})
    root = tmp_path / "filters"
    template = write_package(root, "demo", "v1")
    pulled = pull(REPOSITORY, root, template=Template(template, "v2"))
    package = load_package(pulled.folder)
    assert (package.spec.version, package.has_own_adapter, package.gate.threshold) == ("v2", True, None)
    lora = load_lora(pulled.folder / "adapter")
    assert lora.score is not None
    assert list(lora.updates) == ["layers.0.self_attn.q_proj"]
    with pytest.raises(PackageError, match="--as NAME"):
        pull(REPOSITORY, tmp_path / "none")


def test_an_unknown_repository_says_so(hub, tmp_path):
    with pytest.raises(HubError, match="not found"):
        pull("someone/nothing", tmp_path / "other")


def test_the_scores_that_are_compared_are_those_of_the_models(hub, tmp_path):
    """With random weights of a few kilobytes: the package as it is here, and as it came back."""
    from offline.hub_check import ARTICLES, scorer_of
    from tests.support.release import DIMENSIONS, tiny_settings

    settings = tiny_settings(tmp_path / "tiny")
    root = settings.filters[0]
    score = scorer_of(settings)
    assert score(root, "demo", "v1").shape == (len(ARTICLES) * DIMENSIONS,)
    done = push(settings.filters, root / "demo" / "v1", REPOSITORY, score)
    assert done.difference == 0
