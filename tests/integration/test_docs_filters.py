"""docs/filters.md, run as a newcomer would."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import orjson
import pytest

from core.package import load_package
from core.releases import load_activation
from core.settings import load_settings

ROOT = Path(__file__).parents[2]


def commands(page: Path) -> str:
    """The bash blocks of a page, in order, as one script."""
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_walk_through_ends_with_a_filter_that_scores(tmp_path):
    for name in ("docs", "filters"):
        (tmp_path / name).symlink_to(ROOT / name)
    cache = load_settings().home
    home = tmp_path / "home"
    home.mkdir()
    for name in ("weights", "graphs"):
        if (cache / name).is_dir():
            (home / name).symlink_to(cache / name)
    environment = {**os.environ, "STILLHOUSE_HOME": str(home), "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    script = "set -e\n" + commands(ROOT / "docs" / "filters.md")
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    filters = [ROOT / "filters", tmp_path / "my-filters"]
    assert load_activation(filters).filters["neighbours"] == "v1"
    package = load_package(tmp_path / "my-filters" / "neighbours" / "v1")
    assert package.manifest.trunk is not None
    records = [orjson.loads(line) for line in (tmp_path / "scored.jsonl").read_bytes().splitlines()]
    assert len(records) == len((ROOT / "docs/examples/neighbours_articles.jsonl").read_bytes().splitlines())
    scored = [record["filters"]["neighbours"] for record in records if "filters" in record]
    assert len(scored) > len(records) / 2
    assert {result["version"] for result in scored} == {"v1"}


def test_every_command_of_the_page_exists():
    known = shutil.which("stillhouse", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}")
    assert known
    lines = re.findall(
        r"^\s*(?:stillhouse) ([a-z]+(?: (?:new|check|show))?) ", commands(ROOT / "docs" / "filters.md"), re.MULTILINE
    )
    assert len(lines) >= 6
    for line in set(lines):
        done = subprocess.run([known, *line.split(), "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
