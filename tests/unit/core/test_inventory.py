import orjson
import pytest

from core.errors import PackageError
from core.inventory import check_all, check_path, list_entries
from tests.support.specs import write_package


def problems(findings) -> dict[str, str | None]:
    return {finding.label: finding.problem for finding in findings}


def test_versions_are_sorted_as_numbers(tmp_path) -> None:
    for version in ("v10", "v2", "v1"):
        write_package(tmp_path, version=version)
    assert [entry.version for entry in list_entries([tmp_path])] == ["v1", "v2", "v10"]


def test_a_later_folder_shadows_an_earlier_one(tmp_path) -> None:
    first, second = write_package(tmp_path / "a"), write_package(tmp_path / "b")
    entries = list_entries([tmp_path / "a", tmp_path / "b"])
    assert [(entry.folder, entry.shadowed) for entry in entries] == [(first, True), (second, False)]


def test_a_sound_package_passes(tmp_path) -> None:
    write_package(tmp_path)
    assert problems(check_all([tmp_path])) == {"demo/v1": None}


def test_a_changed_file_is_named(tmp_path) -> None:
    folder = write_package(tmp_path)
    (folder / "gate.json").write_text('{"threshold": 0.1}')
    (finding,) = check_all([tmp_path])
    assert finding.problem is not None
    assert str(folder / "gate.json") in finding.problem
    assert "sha256" in finding.problem


def test_a_draft_needs_a_prompt_and_no_weights(tmp_path) -> None:
    folder = write_package(tmp_path, status="draft")
    (folder / "manifest.json").unlink()
    assert problems(check_path(folder, [tmp_path])) == {"demo/v1": None}
    (folder / "prompt.md").write_text(" \n")
    (finding,) = check_path(folder, [tmp_path])
    assert "prompt.md" in str(finding.problem)


def test_only_a_draft_may_lack_its_manifest(tmp_path) -> None:
    folder = write_package(tmp_path)
    (folder / "manifest.json").unlink()
    (finding,) = check_all([tmp_path])
    assert "manifest.json: missing" in str(finding.problem)


def test_an_unknown_key_of_the_config_is_named(tmp_path) -> None:
    folder = write_package(tmp_path, threshold=3.75)
    (finding,) = check_path(folder, [tmp_path])
    assert "config.yaml: threshold" in str(finding.problem)


def test_releases_must_name_trained_packages(tmp_path) -> None:
    folder = write_package(tmp_path, status="draft")
    (folder / "manifest.json").unlink()
    (tmp_path / "releases.json").write_bytes(orjson.dumps({"filters": {"demo": "v1", "gone": "v3"}}))
    found = problems(check_all([tmp_path]))
    assert "not trained" in str(found["releases.json: demo/v1"])
    assert "gone/v3" in str(found["releases.json: gone/v3"])


def test_a_folder_without_packages_is_refused(tmp_path) -> None:
    with pytest.raises(PackageError, match="holds no filter package"):
        check_path(tmp_path, [])
