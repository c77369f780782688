"""The cascade of the stream's tests: fake models over real packages, with the accidents that texts ask for."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from consumers.active import Loader
from core.cascade import Cascade, Encoder
from core.errors import TransientError
from core.package import load_package
from core.releases import Activation, find_package
from core.settings import Settings
from tests.support.models import fake_cascade
from tests.support.specs import write_package

KILLS = "KILL-THE-PROCESS"
FAILS = "FAIL-THE-BATCH"


@dataclass
class AccidentalEncoder:
    """Wraps an encoder; texts can make it slow, fail, or take the process with it."""

    inner: Encoder
    pause_sec: float = 0.0
    transient_failures: int = 0
    calls: int = 0

    @property
    def width(self) -> int:
        return self.inner.width

    def encode(self, texts: Sequence[str]):
        self.calls += 1
        time.sleep(self.pause_sec)
        if any(KILLS in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.transient_failures:
            self.transient_failures -= 1
            raise TransientError("the encoder is away")
        if any(FAILS in text for text in texts):
            raise ValueError("a text that the encoder cannot stand")
        return self.inner.encode(texts)


def write_filters(home: Path, *names: str, version: str = "v1") -> Path:
    """A folder with one package per name, all active."""
    root = home / "filters"
    root.mkdir(exist_ok=True)
    for name in names or ("demo", "other"):
        write_package(root, name, version)
    (root / "releases.json").write_bytes(orjson.dumps({"filters": dict.fromkeys(names or ("demo", "other"), version)}))
    return root


def fake_loader(settings: Settings, encoder: AccidentalEncoder | None = None, pause_sec: float = 0.0) -> Loader:
    """Loads packages as the real loader does, and fake models."""

    def load(activation: Activation) -> Cascade:
        packages = {n: load_package(find_package(settings.filters, n, v)) for n, v in activation.filters.items()}
        cascade = fake_cascade(packages)
        accidental = encoder or AccidentalEncoder(cascade.models.encoder, pause_sec)
        accidental.inner = cascade.models.encoder
        return replace(cascade, models=replace(cascade.models, encoder=accidental))

    return load
