"""What the oracle is asked for one filter: its dimensions and its prompt. Drafts have these two and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.errors import PackageError
from core.package import MANIFEST, load_manifest, prompt_hash
from core.releases import find_package, load_activation
from core.spec import FilterSpec, load_spec


@dataclass(frozen=True)
class Rubric:
    """One filter version as the oracle sees it. `hash` travels with every label."""

    spec: FilterSpec
    prompt: str
    hash: str

    @property
    def name(self) -> str:
        return self.spec.name


def load_rubric(folder: Path) -> Rubric:
    """Read config and prompt of a package, verified against its manifest where it has one (drafts have none)."""
    if (folder / MANIFEST).is_file():
        load_manifest(folder)
    spec = load_spec(folder / "config.yaml")
    path = folder / "prompt.md"
    try:
        prompt = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{path}: {error}.", action="Write the rubric that the oracle is to apply.") from error
    if not prompt:
        raise PackageError(f"{path}: is empty.", action="Write the rubric that the oracle is to apply.")
    return Rubric(spec, prompt, prompt_hash(prompt))


@lru_cache(maxsize=256)
def find_rubric(folders: tuple[Path, ...], name: str, version: str) -> Rubric:
    """The rubric of a filter version; cached, because packages are immutable once released."""
    return load_rubric(find_package(folders, name, version))


def newest_rubric(folders: Sequence[Path], name: str) -> Rubric:
    """The rubric that `stillhouse oracle score --filter NAME` means: NAME/vN, the active version, or the newest."""
    filter_name, _, version = name.partition("/")
    if not version:
        version = _active_version(folders, filter_name) or _newest_version(folders, filter_name)
    return load_rubric(find_package(folders, filter_name, version))


def _active_version(folders: Sequence[Path], name: str) -> str | None:
    try:
        return load_activation(folders).filters.get(name)
    except PackageError:
        return None  # nothing is active anywhere yet: drafts can be labelled all the same


def _newest_version(folders: Sequence[Path], name: str) -> str:
    versions = [path.name for folder in folders for path in (folder / name).glob("v[0-9]*") if path.is_dir()]
    return max(versions, key=lambda version: int(version[1:] or 0), default="v1")
