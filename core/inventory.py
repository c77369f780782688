"""What lies in the filter folders: every version of every filter, the trunks and the commerce head."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.commerce import COMMERCE
from core.errors import PackageError
from core.package import MANIFEST, TrunkRef, load_manifest, load_package
from core.releases import RELEASES_FILE, Activation, find_package, load_activation
from core.spec import VERSION_PATTERN, load_spec

Kind = Literal["filter", "trunk", "commerce"]
TRUNKS = "trunks"


@dataclass(frozen=True, slots=True)
class Entry:
    """One package folder. `shadowed` is True if a later filter folder holds the same name and version."""

    kind: Kind
    name: str
    version: str
    folder: Path
    shadowed: bool = False

    @property
    def label(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of a check: `problem` is None where the package can be used."""

    label: str
    folder: Path
    problem: str | None


def list_entries(folders: Sequence[Path]) -> list[Entry]:
    """All packages, by name and then by version as a number."""
    found: dict[tuple[str, str], Path] = {}
    shadowed: list[Entry] = []
    for folder in folders:
        for path in (*folder.glob("*/v*"), *folder.glob(f"{TRUNKS}/*/v*")):
            name = path.parent.relative_to(folder).as_posix()
            if not (path.is_dir() and VERSION_PATTERN.fullmatch(path.name)):
                continue
            if older := found.get((name, path.name)):
                shadowed.append(Entry(_kind(name), name, path.name, older, shadowed=True))
            found[name, path.name] = path
    entries = [Entry(_kind(name), name, version, path) for (name, version), path in found.items()]
    return sorted(entries + shadowed, key=lambda entry: (entry.name, int(entry.version[1:]), not entry.shadowed))


def activation(folders: Sequence[Path]) -> Activation:
    """releases.json of the folders; an empty one where nothing was ever released."""
    if not any((folder / RELEASES_FILE).is_file() for folder in folders):
        return Activation()
    return load_activation(folders)


def check_folder(folder: Path, trunk_folders: Sequence[Path]) -> None:
    """Verify one package: config, prompt, every hash of its manifest, and that its trunk is the one it names.

    Raises:
        PackageError: names the file at fault.
    """
    if (folder / "config.yaml").is_file() and not (folder / MANIFEST).is_file():
        _check_draft(folder)
        return
    manifest, _ = load_manifest(folder)
    if "calibration.json" in manifest.files:
        load_package(folder)
    if manifest.trunk:
        _check_trunk(folder, manifest.trunk, trunk_folders)


def check_all(folders: Sequence[Path]) -> list[Finding]:
    """Every package in the folders, and whether releases.json names only what can be used."""
    findings = []
    for entry in list_entries(folders):
        findings.append(Finding(entry.label, entry.folder, _problem(entry.folder, folders)))
    findings += [_check_release(folders, name, version) for name, version in activation(folders).filters.items()]
    return findings


def check_path(path: Path, folders: Sequence[Path]) -> list[Finding]:
    """One package folder, or a folder of packages."""
    if (path / "config.yaml").is_file() or (path / MANIFEST).is_file():
        label = f"{path.resolve().parent.name}/{path.resolve().name}"
        return [Finding(label, path, _problem(path, (*folders, path.parent.parent)))]
    if not list_entries([path]):
        raise PackageError(f"{path} holds no filter package.", action="Name a package folder, as filters/uplifting/v6.")
    return check_all([path])


def _kind(name: str) -> Kind:
    if name.startswith(f"{TRUNKS}/"):
        return "trunk"
    return "commerce" if name == COMMERCE else "filter"


def _problem(folder: Path, folders: Sequence[Path]) -> str | None:
    try:
        check_folder(folder, folders)
    except PackageError as error:
        return str(error)
    return None


def _check_draft(folder: Path) -> None:
    spec = load_spec(folder / "config.yaml")
    if spec.status != "draft":
        raise PackageError(
            f"{folder / MANIFEST}: missing, though config.yaml says {spec.status}.",
            action="Train and release it, or set status: draft.",
        )
    prompt = folder / "prompt.md"
    if not prompt.is_file() or not prompt.read_text(encoding="utf-8").strip():
        raise PackageError(f"{prompt}: missing or empty.", action="Write the rubric that the oracle scores by.")


def _check_trunk(folder: Path, trunk: TrunkRef, folders: Sequence[Path]) -> None:
    name = trunk.name if trunk.name.startswith(f"{TRUNKS}/") else f"{TRUNKS}/{trunk.name}"
    path = find_package(folders, name, trunk.version)
    _, digest = load_manifest(path)
    if digest != trunk.sha256:
        raise PackageError(
            f"{folder / MANIFEST}: was trained on another build of trunk {trunk.name}/{trunk.version} than {path}.",
            action="Restore the trunk from the same release as the filter.",
        )


def _check_release(folders: Sequence[Path], name: str, version: str) -> Finding:
    label = f"{RELEASES_FILE}: {name}/{version}"
    try:
        folder = find_package(folders, name, version)
        if not (folder / MANIFEST).is_file():
            return Finding(label, folder, f"{folder}: is active but not trained. Release it, or take it out.")
    except PackageError as error:
        return Finding(label, Path(RELEASES_FILE), str(error))
    return Finding(label, folder, None)
