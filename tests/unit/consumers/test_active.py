"""The active release set: what is announced is loaded, what fails leaves the last good set in use."""

import asyncio
import contextlib

import pytest

from consumers import active as active_module
from consumers.active import ActiveReleases, Announcement
from core.errors import PackageError, RefusedRecord
from core.messages import encode
from core.package import load_package
from core.releases import Activation, find_package
from tests.support.models import fake_cascade
from tests.support.specs import write_package


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(active_module, "SETTLE_SEC", 0.01)
    for version in ("v1", "v2"):
        write_package(tmp_path, "demo", version)
    write_package(tmp_path, "other", "v1")
    return tmp_path


def announcement(folder, name, version) -> Announcement:
    return Announcement(name, version, load_package(folder / name / version).manifest_sha256)


def make(folder, announced=(), loads=None, **filters) -> ActiveReleases:
    def load(activation: Activation):
        if loads is not None:
            loads.append(dict(activation.filters))
        packages = {n: load_package(find_package([folder], n, v)) for n, v in activation.filters.items()}
        return fake_cascade(packages)

    configured = Activation(filters=filters or {"demo": "v1", "other": "v1"})
    return ActiveReleases(configured, load, [folder], announced)


def versions(active) -> dict[str, str]:
    return {name: package.spec.version for name, package in active.cascade.packages.items()}


@contextlib.asynccontextmanager
async def following(active):
    task = asyncio.create_task(active.follow())
    yield
    task.cancel()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_releases_of_before_the_start_are_active_from_the_start(folder):
    active = make(folder, [announcement(folder, "demo", "v2")])
    assert versions(active) == {"demo": "v2", "other": "v1"}


async def test_an_announcement_is_loaded_in_the_background(folder):
    active = make(folder)
    before = active.cascade
    async with following(active):
        active.announce(announcement(folder, "demo", "v2"))
        assert active.cascade is before
        await until(lambda: active.cascade is not before)
    assert versions(active) == {"demo": "v2", "other": "v1"}
    assert active.cascade.releases.id != before.releases.id


async def test_releases_announced_together_are_loaded_once(folder):
    write_package(folder, "other", "v2")
    loads = []
    active = make(folder, loads=loads)
    async with following(active):
        active.announce(announcement(folder, "demo", "v2"))
        active.announce(announcement(folder, "other", "v2"))
        await until(lambda: versions(active) == {"demo": "v2", "other": "v2"})
    assert len(loads) == 2


async def test_a_withdrawn_override_returns_to_the_file(folder):
    active = make(folder, [announcement(folder, "demo", "v2")])
    async with following(active):
        active.announce(Announcement.from_record(b"demo", None))
        await until(lambda: versions(active)["demo"] == "v1")


@pytest.mark.parametrize("fault", ["tampered", "missing", "other-bytes"])
async def test_a_broken_release_keeps_the_last_good_set(folder, fault, caplog):
    active = make(folder)
    good, wanted = active.cascade, announcement(folder, "demo", "v2")
    match fault:
        case "tampered":
            (folder / "demo" / "v2" / "prompt.md").write_text("changed")
        case "missing":
            wanted = wanted._replace(version="v9")
        case "other-bytes":
            wanted = wanted._replace(sha256="0" * 64)
    async with following(active):
        active.announce(wanted)
        await until(lambda: "does not load" in caplog.text)
        assert active.cascade is good
        active.announce(announcement(folder, "demo", "v1"))
        await asyncio.sleep(0.1)
    assert versions(active) == {"demo": "v1", "other": "v1"}


def test_a_broken_filter_is_left_out_at_the_start_and_the_others_run(folder, caplog):
    (folder / "other" / "v1" / "gate.json").write_text("{}changed")
    active = make(folder)
    assert versions(active) == {"demo": "v1"}
    assert "gate.json" in caplog.text


def test_without_any_good_filter_the_start_fails_and_names_the_file(folder):
    (folder / "demo" / "v1" / "gate.json").unlink()
    with pytest.raises(PackageError, match=r"gate\.json"):
        make(folder, demo="v1")


def test_a_broken_announced_release_does_not_stop_the_start(folder):
    (folder / "demo" / "v2" / "prompt.md").write_text("changed")
    broken = Announcement("demo", "v2", "0" * 64)
    assert versions(make(folder, [broken])) == {"demo": "v1", "other": "v1"}


@pytest.mark.parametrize("value", [b"no json", b"{}", b'{"schema": 1, "name": "demo"}', b"[1]"])
def test_records_that_are_no_release_are_refused(value):
    with pytest.raises(RefusedRecord):
        Announcement.from_record(b"demo", value)


def test_a_release_record_is_read(folder):
    body = encode({"schema": 1, "name": "demo", "version": "v2", "sha256": "ab"})
    assert Announcement.from_record(b"demo", body) == Announcement("demo", "v2", "ab")
