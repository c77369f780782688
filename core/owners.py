"""Which process holds what: names that die with their process.

A process is alive as long as it holds the lock on its own file: the kernel drops the lock at any death, SIGKILL
included, and process ids, which containers reuse, play no part.
"""

import contextlib
import fcntl
import os
import time
import uuid
from pathlib import Path

_YOUNG_SEC = 3600


class Owner:
    """This process, for all that share `folder`. `name` is unique for ever."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.name = uuid.uuid4().hex
        self._stream = (folder / self.name).open("w")
        fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._sweep()

    def is_dead(self, name: str) -> bool:
        """True if the process of that name has ended, however it did."""
        try:
            descriptor = os.open(self._folder / name, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def bury(self, name: str) -> None:
        """Forget a dead process."""
        (self._folder / name).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove the files of the long dead; a young one may be about to be locked."""
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _YOUNG_SEC and self.is_dead(path.name):
                    self.bury(path.name)

    def close(self) -> None:
        """A clean end."""
        self.bury(self.name)
        self._stream.close()
