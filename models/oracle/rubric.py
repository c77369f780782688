"""What the oracle is asked for one filter: its dimensions and its prompt. Drafts have these two and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.errors import PackageError
from core.inventory import activation, list_entries
from core.package import MANIFEST, load_manifest, prompt_hash
from core.releases import find_package
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


def named_rubric(folders: Sequence[Path], name: str) -> Rubric:
    """The rubric that `--filter NAME` means: NAME/vN, the active version, or the newest of a draft."""
    name, _, version = name.partition("/")
    if not version:
        newest = [entry.version for entry in list_entries(folders) if entry.name == name and entry.kind == "filter"]
        version = activation(folders).filters.get(name) or (newest[-1] if newest else "v1")
    return load_rubric(find_package(folders, name, version))
