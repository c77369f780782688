"""Every ```bash block of the pages below runs as it stands, in order, as if pasted into one terminal."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
ELSEWHERE = {"docs/filters.md": "tests/integration/test_docs_filters.py"}
"""Pages whose blocks need more than a clone; the test named runs them."""

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]+)(#[^)]*)?\)")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def link_entries(source: Path, target: Path, without: tuple[str, ...] = ()) -> None:
    """`target` as a folder that looks like `source`, so that what a page writes does not stay there."""
    target.mkdir()
    for entry in source.iterdir():
        if entry.name not in without:
            (target / entry.name).symlink_to(entry)


def with_blocks() -> list[Path]:
    pages = [page for page in PAGES if name(page) not in ELSEWHERE]
    return [page for page in pages if BLOCK.search(page.read_text(encoding="utf-8"))]


@pytest.mark.weights
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", with_blocks(), ids=name)
def test_the_blocks_of_a_page_run_when_pasted(page: Path, tmp_path: Path, free_port: int) -> None:
    folder, home = tmp_path / "clone", tmp_path / "home"
    link_entries(ROOT, folder)
    link_entries(load_settings().home, home, without=("state", "labels"))
    script = "set -euo pipefail\n" + "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STILLHOUSE_HOME": str(home),
        "STILLHOUSE_PORT": str(free_port),
        "STILLHOUSE_BOARD_PORT": "0",
        "COLUMNS": "120",
    }
    run = subprocess.run(
        ["/bin/bash", "-c", script],
        capture_output=True, text=True, timeout=840, cwd=folder, env=environment,
    )  # fmt: skip
    assert run.returncode == 0, f"{run.stdout[-3000:]}\n{run.stderr[-3000:]}"


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(LINK.findall((folder / "README.md").read_text(encoding="utf-8")))
    assert {path for path, _ in listed} == {path.name for path in folder.glob("0*.md")}


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items(), ids=ELSEWHERE)
def test_pages_left_out_here_are_run_by_the_test_that_is_named(page: str, test: str) -> None:
    assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted([*PAGES, *(ROOT / "docs").glob("decisions/*.md")]), ids=name)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    targets = [page.parent / target for target, _ in LINK.findall(page.read_text(encoding="utf-8"))]
    assert [str(target) for target in targets if not target.exists()] == []
