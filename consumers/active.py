"""The active release set of a process: loaded at start, replaced in the background when a release is announced."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from consumers.recorder import Recorder, SilentRecorder
from core.cascade import Cascade
from core.commerce import COMMERCE
from core.errors import PackageError, RefusedRecord, StillhouseError
from core.messages import decode_object
from core.package import load_package
from core.releases import Activation, find_package

log = logging.getLogger("stillhouse.active")

Loader = Callable[[Activation], Cascade]
"""Builds the cascade of an activation. Slow, runs in a thread; raises PackageError or another StillhouseError."""

SETTLE_SEC = 1.0
"""A trunk and its filters are announced one after the other: they are loaded as one set."""

_RETRY_SEC = 60.0


class Announcement(NamedTuple):
    """One record of filters.releases. An empty version withdraws the override of releases.json."""

    name: str
    version: str
    sha256: str

    @classmethod
    def from_record(cls, key: bytes | None, value: bytes | None) -> "Announcement":
        """Raises RefusedRecord for anything else."""
        name = (key or b"").decode("utf-8", "replace")
        if value is None:
            return cls(name, "", "")
        record = decode_object(value)
        try:
            return cls(name or str(record["name"]), str(record["version"]), str(record["sha256"]))
        except KeyError as error:
            raise RefusedRecord("wrong_type", f"not a release: {error} is missing") from None


@dataclass
class Active:
    """The cascade in use. A stage reads it once per batch, so a switch falls between two batches."""

    cascade: Cascade


class ActiveReleases(Active):
    """An Active that follows announcements. The last good set stays where a new one does not load.

    At the start a filter whose package is broken is left out, with an error that names the file; later on a
    broken package keeps the whole set as it was.
    """

    def __init__(
        self,
        configured: Activation,
        loader: Loader,
        folders: Sequence[Path],
        announced: Sequence[Announcement] = (),
        recorder: Recorder | None = None,
    ) -> None:
        self._configured = configured
        self._loader = loader
        self._folders = folders
        self._recorder = recorder or SilentRecorder()
        self._announced = {announcement.name: announcement for announcement in announced}
        self._changed = asyncio.Event()
        try:
            cascade = self._load(required=set(self._announced))
        except StillhouseError as error:
            if not self._announced:
                raise
            log.error("Announced releases do not load, releases.json is used: %s", error)
            self._changed.set()  # follow() tries them again
            cascade = loader(_without_broken(configured, folders, required=set()))
        super().__init__(cascade)
        self._recorder.releases(cascade.releases.versions)

    def announce(self, announcement: Announcement) -> None:
        """Take note; `follow` loads it."""
        self._announced[announcement.name] = announcement
        self._changed.set()

    async def follow(self) -> None:
        """Load whatever is announced, for ever. A set that fails is tried again: its files may come later."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_SEC)
            self._changed.clear()
            try:
                started = time.perf_counter()
                cascade = await asyncio.to_thread(self._load, self._announced.keys() | self.cascade.packages.keys())
            except StillhouseError as error:
                log.error("A new release set does not load, %s stays: %s", self.cascade.releases.id[:12], error)
                await self._pause()
                continue
            if cascade.releases.id != self.cascade.releases.id:
                self.cascade = cascade
                self._recorder.releases(cascade.releases.versions)
                log.info("Release set %s is active (%.1f s)", cascade.releases.id[:12], time.perf_counter() - started)

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), _RETRY_SEC)
        except TimeoutError:
            self._changed.set()

    def _load(self, required: Set[str]) -> Cascade:
        announced = [a for a in self._announced.values() if a.version]
        wanted = activation_of(self._configured, announced)
        cascade = self._loader(_without_broken(wanted, self._folders, required))
        for name, version, sha256 in announced:
            loaded = cascade.releases.versions.get(name)
            if loaded and loaded != (version, sha256):
                raise PackageError(
                    f"{name}/{version} is announced with sha256 {sha256[:12]}, the folder here holds {loaded[1][:12]}.",
                    action="Bring this machine's filters up to date.",
                )
        return cascade


def activation_of(configured: Activation, announced: Sequence[Announcement]) -> Activation:
    """releases.json with the announced versions over it."""
    versions = {a.name: a.version for a in announced}
    commerce = versions.pop(COMMERCE, configured.commerce)
    return Activation(filters={**configured.filters, **versions}, commerce=commerce)


def _without_broken(activation: Activation, folders: Sequence[Path], required: Set[str]) -> Activation:
    """The activation without filters whose packages are broken, each of which is logged.

    Raises:
        PackageError: a required filter is broken, or no filter is left.
    """
    good: dict[str, str] = {}
    fault: PackageError | None = None
    for name, version in activation.filters.items():
        try:
            load_package(find_package(folders, name, version))
            good[name] = version
        except PackageError as error:
            if name in required:
                raise
            fault = error
            log.error("Filter %s is left out: %s", name, error)
    if not good and fault:
        raise fault
    return activation.model_copy(update={"filters": good})
