"""Models that load while the rest of the process starts: imports, broker, topics, consumer groups."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from core.releases import load_activation

if TYPE_CHECKING:
    from consumers.active import Loader
    from core.cascade import Cascade
    from core.releases import Activation


class EarlyLoader:
    """A Loader that begins at once, in a thread, with the set that releases.json names.

    A call waits for that and then loads its own set, which finds whatever both have in common there already. What
    goes wrong early goes wrong again in the call, where it is told.
    """

    def __init__(self, loader: "Loader", folders: Sequence[Path]) -> None:
        self._loader = loader
        pool = ThreadPoolExecutor(1, "early-loader")
        self._early: Future[Cascade] = pool.submit(lambda: loader(load_activation(folders)))
        pool.shutdown(wait=False)

    def __call__(self, activation: "Activation") -> "Cascade":
        wait([self._early])
        return self._loader(activation)
