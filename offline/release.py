"""Releases a candidate: compare, seal as an immutable package under the next version, and make it active."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import NotReleasedError, PackageError
from core.package import MANIFEST, Manifest, load_manifest, load_package, sha256_file
from core.releases import find_package
from offline.activation import Activated, activate
from offline.dataset import Array
from offline.training.packages import write_package
from offline.verdict import Verdict, judge
from offline.versions import active_version, current_folder, next_version, rename_config

Predict = Callable[[Path], Array]
"""Weighted scores [n] of the package in a folder, on the held-out articles in the order of their truth."""


@dataclass(frozen=True)
class Released:
    """A candidate that was accepted, sealed and made active."""

    activated: Activated
    verdict: Verdict


def release(folders: Sequence[Path], candidate: Path, truth: Array, predict: Predict) -> Released:
    """Release the candidate over the active version of the same filter.

    Raises:
        NotReleasedError: it does not reach its bars, or is worse than the active version.
        PackageError: the candidate is damaged, or is what is active already.
    """
    package = load_package(candidate)
    name = package.spec.name
    version = active_version(folders, name)
    current = find_package(folders, name, version) if version else None
    if current and (current / MANIFEST).is_file() and same_content(current, candidate):
        raise PackageError(f"{name}: the candidate is the active {version}.", action="Train it on other labels first.")
    has_model = current is not None and (current / MANIFEST).is_file()
    verdict = judge(package.spec, truth, predict(candidate), predict(current) if current and has_model else None)
    if not verdict.accepted:
        raise NotReleasedError(
            f"{name} is not released: {'; '.join(verdict.refusals)}.",
            action="See `stillhouse evaluate`, and more labels: `stillhouse labels screen`.",
        )
    folder = seal(folders, candidate, verdict)
    activate(folders, name, folder.name)
    return Released(Activated(name, folder.name, sha256_file(folder / MANIFEST), folder, version), verdict)


def seal(folders: Sequence[Path], candidate: Path, verdict: Verdict) -> Path:
    """Copy the candidate into the last filter folder, under its next version. A draft becomes its first model."""
    package = load_package(candidate)
    name = package.spec.name
    version = _target_version(folders, name)
    target = folders[-1] / name / version
    card = (candidate / "README.md").read_text(encoding="utf-8") if (candidate / "README.md").is_file() else ""

    def fill(folder: Path) -> None:
        shutil.copytree(candidate, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        rename_config(candidate / "config.yaml", folder / "config.yaml", version)
        (folder / "README.md").write_text(_card(card, name, version, verdict), encoding="utf-8")

    manifest = package.manifest.model_copy(
        update={"version": version, "metrics": {**package.manifest.metrics, "release": verdict.to_dict()}}
    )
    write_package(target, _plain(manifest), fill)
    load_package(target)
    return target


def same_content(one: Path, other: Path) -> bool:
    """True if two packages hold the same learned files, whatever their version is called."""
    ours, theirs = (dict(load_manifest(folder)[0].files) for folder in (one, other))
    for named in ("config.yaml", "README.md"):
        ours.pop(named, None)
        theirs.pop(named, None)
    return ours == theirs


def _target_version(folders: Sequence[Path], name: str) -> str:
    newest = current_folder(folders, name) if (folders[-1] / name).is_dir() else None
    if newest and not (newest / MANIFEST).is_file() and newest.parent.parent == folders[-1]:
        return newest.name
    return next_version(folders, name)


def _card(card: str, name: str, version: str, verdict: Verdict) -> str:
    title, _, body = card.partition("\n")
    lines = [f"# {name} {version}", body.rstrip() if title.startswith("# ") else card.rstrip(), "", "## Release", ""]
    lines.append(f"Judged on {verdict.articles} held-out articles: MAE {verdict.metrics['mae']:.3f}.")
    if verdict.current and verdict.mae_difference:
        gap = verdict.mae_difference
        lines.append(
            f"The version before has {verdict.current['mae']:.3f}: a difference of {gap.mean:+.3f}, "
            f"paired bootstrap {gap.low:+.3f} to {gap.high:+.3f} (90%)."
        )
    return "\n".join(lines) + "\n"


def _plain(manifest: Manifest) -> Manifest:
    """Mappings of numpy numbers do not belong into JSON."""
    content: dict[str, Any] = json.loads(json.dumps(manifest.model_dump(mode="json"), default=float))
    return Manifest.model_validate(content)
