"""`stillhouse hub push|pull`: packages to and from the Hugging Face Hub, checked by loading them back.

A repository holds the package's files at its root, and the trunk that it names under trunk/.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from core.errors import PackageError, StillhouseError, TransientError
from core.package import MANIFEST, load_manifest, load_package, sha256_file
from core.releases import find_package
from offline.peft_package import Template, is_plain_peft, wrap_adapter

TRUNK = "trunk"
_SUFFIXES = (".json", ".yaml", ".md", ".safetensors", ".gitattributes")
_MAX_BYTES = 4 << 30

Score = Callable[[Path, str, str], NDArray[np.float64]]
"""Weighted scores of a few fixed articles by a package: filter folder, name, version."""


class HubError(StillhouseError):
    """The Hub refuses, or holds something that may not be used."""


@dataclass(frozen=True)
class Pushed:
    """An upload that was loaded back. `revision` is its commit; `difference` the largest of the compared scores."""

    repository: str
    revision: str
    files: int
    difference: float


@dataclass(frozen=True)
class Pulled:
    """A package that now lies in `folder`. `new` is False if it lay there already, file for file."""

    name: str
    version: str
    folder: Path
    revision: str
    new: bool


def push(folders: Sequence[Path], package: Path, repository: str, score: Score, *, private: bool = True) -> Pushed:
    """Upload a verified package with its trunk, then load it back from the Hub and compare scores.

    Raises:
        PackageError: the package is damaged. HubError: what comes back differs, or the Hub refuses.
    """
    loaded = load_package(package)
    trunk = None
    if loaded.manifest.trunk:
        trunk = find_package(folders, f"trunks/{loaded.manifest.trunk.name}", loaded.manifest.trunk.version)
        load_manifest(trunk)
    with tempfile.TemporaryDirectory() as temporary, _hub_errors(repository):
        from huggingface_hub import HfApi

        staged = Path(temporary) / "upload"
        shutil.copytree(package, staged)
        if trunk:
            shutil.copytree(trunk, staged / TRUNK)
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        title = f"{loaded.spec.name} {loaded.spec.version}"
        commit = api.upload_folder(repo_id=repository, folder_path=staged, commit_message=title)
        back = pull(repository, Path(temporary) / "back", revision=commit.oid)
        difference = _difference(score, folders[-1], package, back)
        return Pushed(repository, commit.oid, sum(p.is_file() for p in staged.rglob("*")), difference)


def pull(repository: str, root: Path, *, revision: str | None = None, template: Template | None = None) -> Pulled:
    """Download a package into root/name/version, and its trunk into root/trunks.

    Args:
        template: filter whose config and rubric a plain PEFT adapter gets; needed for such a repository only.

    Raises:
        HubError: a file name leaves the package, or the package is already there with other content.
        PackageError: a file is damaged or does not fit the manifest.
    """
    from huggingface_hub import HfApi

    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".pull-") as temporary, _hub_errors(repository):
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        commit = info.sha or revision or "main"
        names = [sibling.rfilename for sibling in info.siblings or []]
        _check_names(names, sum(sibling.size or 0 for sibling in info.siblings or []))
        staged = Path(temporary) / "package"
        _download(repository, commit, [name for name in names if not name.startswith(".")], staged)
        if is_plain_peft(staged):
            wrap_adapter(staged, template, f"{repository}@{commit}")
        return _install(staged, root, commit)


def _download(repository: str, commit: str, names: Sequence[str], staged: Path) -> None:
    from huggingface_hub import hf_hub_download

    for name in names:
        hf_hub_download(repository, name, revision=commit, local_dir=staged)
    # The client's own bookkeeping is no part of the package, and a link could point anywhere.
    shutil.rmtree(staged / ".cache", ignore_errors=True)
    if links := [path for path in staged.rglob("*") if path.is_symlink()]:
        raise HubError(f"{repository}: {links[0].name} is a link.", action="Do not use this package.")


def _check_names(names: Sequence[str], total_bytes: int) -> None:
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
            raise HubError(f"File name {name!r} leaves the package.", action="Do not use this package.")
        if not name.endswith(_SUFFIXES):
            raise HubError(
                f"{name!r} is no part of a package: only {', '.join(_SUFFIXES)} are.",
                action="Nothing is ever unpickled; ask for safetensors.",
            )
    if total_bytes > _MAX_BYTES:
        raise HubError(f"The repository holds {total_bytes / 1e9:.1f} GB.", action="A package has some MB: wrong one?")


def _install(staged: Path, root: Path, commit: str) -> Pulled:
    trunk = staged / TRUNK
    if (trunk / MANIFEST).is_file():
        manifest, _ = load_manifest(trunk)
        waiting = staged.with_name("trunk")
        trunk.rename(waiting)
        _move(waiting, root / "trunks" / _plain(manifest.name) / _plain(manifest.version))
    package = load_package(staged)
    spec, digest = package.spec, package.manifest_sha256
    target = root / spec.name / spec.version
    if (target / MANIFEST).is_file() and sha256_file(target / MANIFEST) == digest:
        return Pulled(spec.name, spec.version, target, commit, new=False)
    _move(staged, target)
    return Pulled(spec.name, spec.version, target, commit, new=True)


def _move(source: Path, target: Path) -> None:
    """Into place; a draft gives way, a trained package with other content does not."""
    if (target / MANIFEST).is_file():
        if sha256_file(target / MANIFEST) == sha256_file(source / MANIFEST):
            return
        raise HubError(
            f"{target} exists with other content.",
            action="Released versions are immutable: remove it yourself, or not.",
        )
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)


def _plain(name: str) -> str:
    last = name.removeprefix("trunks/")
    if PurePosixPath(last).name != last or last in (".", ".."):
        raise HubError(f"Trunk name {name!r} leaves the filter folder.", action="Do not use this package.")
    return last


def _difference(score: Score, root: Path, package: Path, back: Pulled) -> float:
    before = score(package.parents[1] if package.parents[1].is_dir() else root, back.name, back.version)
    after = score(back.folder.parents[1], back.name, back.version)
    difference = float(np.abs(before - after).max(initial=0.0))
    if difference > 0:
        raise HubError(
            f"{back.name} {back.version} scores differently after the upload (by up to {difference:.3f}).",
            action="Do not announce it; push again and compare the manifests.",
        )
    return difference


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError as error:
        raise HubError(
            f"{repository} asks for its terms to be accepted.", action="Accept them, set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(f"{repository}: not found, or not yours.", action="Check the name and HF_TOKEN.") from error
    except EntryNotFoundError as error:
        raise HubError(f"{repository}: {error}.", action="Check the revision.") from error
    except (HfHubHTTPError, ConnectionError) as error:
        raise TransientError(f"The Hub: {error}.", action="Try again; a token is read from HF_TOKEN.") from error
    except PackageError:
        raise
