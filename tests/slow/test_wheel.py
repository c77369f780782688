"""The wheel works away from the repository: commands, filters and samples are in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed, without its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("stillhouse-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def run(installed: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", installed / "bin" / "stillhouse", *arguments],
        capture_output=True, text=True, cwd=installed.parent, env=os.environ | {"PYTHONPATH": str(installed)},
    )  # fmt: skip


def test_its_filters_are_whole(installed: Path) -> None:
    listed = json.loads(run(installed, "filters", "list", "--json").stdout)
    assert {Path(row["folder"]).is_relative_to(installed) for row in listed} == {True}
    assert {row["name"] for row in listed} >= {"uplifting", "seece"}
    check = run(installed, "filters", "check")
    assert check.returncode == 0, check.stdout


def test_it_has_all_modules_samples_and_board_pages(installed: Path) -> None:
    for name in (
        "front/demo.py",
        "stillhouse.py",
        "producers/samples/demo.jsonl",
        "consumers/board/templates/base.html",
    ):
        assert (installed / name).is_file(), name
    assert run(installed, "run", "--help").returncode == 0
    assert not (installed / "tests").exists()
