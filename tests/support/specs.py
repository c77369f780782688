"""A small filter for tests, as config and as a package on disk."""

from pathlib import Path

import orjson
import yaml

from core.package import Manifest, write_manifest

CONFIG = {
    "name": "demo",
    "version": "v1",
    "status": "development",
    "description": "A filter for tests.",
    "dimensions": [
        {"name": "a", "weight": 0.6, "meaning": "first"},
        {"name": "b", "weight": 0.4, "meaning": "second"},
    ],
    "tiers": [{"name": "high", "at_least": 7}, {"name": "medium", "at_least": 4}],
    "gatekeepers": [{"dimension": "a", "below": 3, "cap": 2}],
}


def write_package(root: Path, name: str = "demo", version: str = "v1", gate: dict | None = None, **config) -> Path:
    """A verified package without weights under root/name/version."""
    folder = root / name / version
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | {"name": name, "version": version} | config))
    (folder / "prompt.md").write_text("# Rubric\n")
    files = {"calibration.json": {}, "intervals.json": {}, "normalization.json": {"sample": 0}, "gate.json": gate or {}}
    for file, content in files.items():
        (folder / file).write_bytes(orjson.dumps(content))
    write_manifest(folder, Manifest(name=name, version=version, files={}))
    return folder
