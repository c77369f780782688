import orjson
import pytest

from core.errors import PackageError
from core.settings import Settings
from models.selection import select
from tests.support.specs import write_package


@pytest.fixture
def settings(tmp_path) -> Settings:
    for version in ("v1", "v2"):
        write_package(tmp_path / "filters", "demo", version)
    (write_package(tmp_path / "filters", "idea", status="draft") / "manifest.json").unlink()
    releases = {"filters": {"demo": "v1"}, "commerce": "v3"}
    (tmp_path / "filters" / "releases.json").write_bytes(orjson.dumps(releases))
    return Settings(filters=(tmp_path / "filters",))


def test_without_names_the_active_filters_are_used(settings) -> None:
    assert select(settings, [])[1].filters == {"demo": "v1"}


@pytest.mark.parametrize(("wanted", "version"), [("demo", "v1"), ("demo/v2", "v2")], ids=["active", "named"])
def test_a_name_means_the_active_version(settings, wanted: str, version: str) -> None:
    _, activation = select(settings, [wanted])
    assert (activation.filters, activation.commerce) == ({"demo": version}, "v3")


def test_a_folder_outside_the_filter_folders_is_found(settings, tmp_path) -> None:
    folder = write_package(tmp_path / "elsewhere", "mine", "v7")
    selected, activation = select(settings, [str(folder), "demo"])
    assert activation.filters == {"mine": "v7", "demo": "v1"}
    assert selected.filters == (*settings.filters, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("nothing", "neither a filter"), ("demo/v9", "neither a filter"), ("idea", "not trained yet")],
    ids=["unknown", "version", "draft"],
)
def test_what_cannot_be_scored_is_refused(settings, wanted: str, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        select(settings, [wanted])


def test_a_folder_must_be_named_as_its_config_says(settings, tmp_path) -> None:
    folder = write_package(tmp_path / "elsewhere", "mine", "v7")
    moved = folder.rename(folder.with_name("download"))
    with pytest.raises(PackageError, match="mine/v7"):
        select(settings, [str(moved)])
