"""A cache folder that is whole or absent: converted beside it, checked, stamped, then renamed into place."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import StillhouseError

STAMP = "stillhouse.json"
Stage = Callable[[str, float], None]
"""Progress report: what is being done, and the share done of the whole conversion (0 to 1)."""
Convert = Callable[[Path, Stage], None]


class WeightsError(StillhouseError):
    """Base weights cannot be had, or are not what they should be."""


@dataclass(frozen=True)
class WeightsFolder:
    """A model folder in transformers' layout. `revision` is the sha256 of model.safetensors."""

    path: Path
    model_id: str
    revision: str


def silent(_what: str, _share: float) -> None:
    """Report nothing."""


def converted_once(folder: Path, model_id: str, convert: Convert, report: Stage) -> WeightsFolder:
    """The folder, converted now if it is absent, incomplete or changed since.

    Two processes never convert at once: the second waits for the first and finds its result.
    """
    if found := _read_stamp(folder, model_id):
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f".{folder.name}.lock")):
        if found := _read_stamp(folder, model_id):
            return found
        _remove_abandoned(folder)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        try:
            convert(partial, report)
            _write_stamp(partial, model_id)
            _swap_in(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    if not (found := _read_stamp(folder, model_id)):
        raise WeightsError(f"{folder}: changed while it was being written.", action="Remove the folder and run again.")
    return found


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamped_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != STAMP)


def _write_stamp(folder: Path, model_id: str) -> None:
    files: dict[str, Any] = {}
    for path in _stamped_files(folder):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        status = path.stat()
        entry = {"sha256": sha256_of(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        files[path.relative_to(folder).as_posix()] = entry
    (folder / STAMP).write_text(json.dumps({"model": model_id, "files": files}, indent=1))


def _read_stamp(folder: Path, model_id: str) -> WeightsFolder | None:
    """The folder if it is exactly what was stamped. Hashing 1 GB takes a second: only done where a date changed."""
    try:
        stamp = json.loads((folder / STAMP).read_text())
        for name, expected in stamp["files"].items():
            status = (folder / name).stat()
            if status.st_size != expected["size"]:
                return None
            if status.st_mtime_ns != expected["mtime_ns"] and sha256_of(folder / name) != expected["sha256"]:
                return None
        revision = stamp["files"]["model.safetensors"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return WeightsFolder(folder, model_id, revision) if stamp["model"] == model_id else None


def _swap_in(partial: Path, folder: Path) -> None:
    """Rename into place. Whoever still reads an older folder keeps its open files."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
        folder.rename(old / folder.name)
        partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        partial.rename(folder)


def _remove_abandoned(folder: Path) -> None:
    """Leftovers of killed conversions; the lock is held, so nobody writes them any more."""
    for pattern in (f".{folder.name}.*.partial", f".{folder.name}.*.old"):
        for leftover in folder.parent.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
