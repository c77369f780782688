import orjson
import pytest

from core.errors import PackageError
from core.package import MANIFEST, load_package
from core.releases import ReleaseSet, find_package, load_activation
from tests.support.specs import write_package


def test_a_written_package_loads(tmp_path):
    package = load_package(write_package(tmp_path))
    assert package.spec.name == "demo"
    assert len(package.manifest_sha256) == 64
    assert package.gate.is_open(-1e9)


@pytest.mark.parametrize("file", ["config.yaml", "prompt.md", "gate.json", "calibration.json"])
def test_a_tampered_file_is_named(tmp_path, file):
    folder = write_package(tmp_path)
    with (folder / file).open("a") as stream:
        stream.write(" ")
    with pytest.raises(PackageError, match="sha256 differs") as error:
        load_package(folder)
    assert str(folder / file) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    folder = write_package(tmp_path)
    (folder / "prompt.md").unlink()
    with pytest.raises(PackageError, match=r"prompt\.md: missing"):
        load_package(folder)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\..\\b"])
def test_a_manifest_cannot_reach_outside(tmp_path, name):
    folder = write_package(tmp_path)
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    manifest["files"][name] = "0" * 64
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest))
    with pytest.raises(PackageError, match="leaves the package"):
        load_package(folder)


def test_a_manifest_that_lists_too_little_is_refused(tmp_path):
    folder = write_package(tmp_path)
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    del manifest["files"]["gate.json"]
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest))
    with pytest.raises(PackageError, match=r"gate\.json"):
        load_package(folder)


def test_the_last_folder_wins_and_activations_merge(tmp_path):
    for root in ("shipped", "mine"):
        write_package(tmp_path / root)
    (tmp_path / "shipped/releases.json").write_text('{"filters": {"demo": "v1", "other": "v2"}}')
    (tmp_path / "mine/releases.json").write_text('{"filters": {"demo": "v3"}}')
    folders = [tmp_path / "shipped", tmp_path / "mine"]
    assert find_package(folders, "demo", "v1") == tmp_path / "mine/demo/v1"
    assert load_activation(folders).filters == {"demo": "v3", "other": "v2"}


@pytest.mark.parametrize(("name", "version"), [("../demo", "v1"), ("demo", "../v1"), ("demo/../x", "v1"), ("", "v1")])
def test_names_that_are_paths_are_refused(tmp_path, name, version):
    with pytest.raises(PackageError, match="not a package name"):
        find_package([tmp_path], name, version)


def test_release_set_ids_follow_members_alone():
    one = ReleaseSet({"a": ("v1", "x"), "b": ("v2", "y")})
    same = ReleaseSet({"b": ("v2", "y"), "a": ("v1", "x")})
    other = ReleaseSet({"a": ("v1", "z"), "b": ("v2", "y")})
    assert one.id == same.id != other.id
