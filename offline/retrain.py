"""The retraining job: snapshot, train, evaluate, release or refuse, and one line that says which."""

import contextlib
import fcntl
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import orjson

from core.errors import NotReleasedError, SettingsError, StillhouseError
from core.settings import Settings
from offline.activation import Activated
from offline.label_store import LabelStore, Snapshot

Outcome = Literal["released", "refused", "waiting", "busy", "failed"]
_CONDITION = re.compile(r"(\d+)\s+new\s+labels?")


class Trained(Protocol):
    """What training gives back; releasing it is the other step's business."""

    @property
    def labels(self) -> int: ...


T = TypeVar("T", bound=Trained)
Steps = tuple[Callable[[Snapshot], T], Callable[[T], Activated]]
"""Train on a snapshot; release what came of it, or raise NotReleasedError."""


@dataclass(frozen=True)
class Retrained:
    """The verdict of one run."""

    name: str
    outcome: Outcome
    detail: str
    snapshot: str | None = None
    activated: Activated | None = None

    @property
    def line(self) -> str:
        at = f" [{self.snapshot}]" if self.snapshot else ""
        return f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ} {self.name}: {self.outcome}: {self.detail}{at}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "outcome": self.outcome,
            "detail": self.detail,
            "snapshot": self.snapshot,
            "version": self.activated.version if self.activated else None,
        }


def parse_condition(text: str) -> int:
    """`200 new labels` as a number."""
    if not (match := _CONDITION.fullmatch(text.strip())):
        raise SettingsError(f"{text!r} is no condition.", action='Write it like "200 new labels".')
    return int(match[1])


def retrain(settings: Settings, name: str, steps: Steps[T], new_labels: int | None = None) -> Retrained:
    """Run the job, unless one runs already or too few labels are new since the last run that came to a verdict.

    Never raises what a user can mend: cron's mail is the line.
    """
    store = LabelStore(settings.label_store)
    with _lock(settings.state / f"retrain-{name}.lock") as free:
        if not free:
            return Retrained(name, "busy", "another run is at it")
        try:
            snapshot, fresh = store.snapshot(), count_new(settings, store, name)
            if new_labels is not None and fresh < new_labels:
                return Retrained(name, "waiting", f"{fresh} of {new_labels} new labels", str(snapshot))
            return _run(settings, name, snapshot, steps)
        except StillhouseError as error:
            return Retrained(name, "failed", str(error))


def count_new(settings: Settings, store: LabelStore, name: str) -> int:
    """Labels of the filter since its last run."""
    return len(store.labels(name)) - int(_memory(settings, name).get("labels", 0))


def _run(settings: Settings, name: str, snapshot: Snapshot, steps: Steps[T]) -> Retrained:
    train, release = steps
    trained = train(snapshot)
    try:
        activated = release(trained)
    except NotReleasedError as refusal:
        _remember(settings, name, snapshot)
        return Retrained(name, "refused", refusal.message, str(snapshot))
    _remember(settings, name, snapshot)
    detail = f"{activated.version} on {trained.labels} articles, before {activated.previous or 'none'}"
    return Retrained(name, "released", detail, str(snapshot), activated)


def _memory_file(settings: Settings, name: str) -> Path:
    return settings.state / f"retrained-{name}.json"


def _memory(settings: Settings, name: str) -> dict[str, Any]:
    path = _memory_file(settings, name)
    found: dict[str, Any] = orjson.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _remember(settings: Settings, name: str, snapshot: Snapshot) -> None:
    """After a refusal as well: the same labels would be refused again."""
    labels = len(LabelStore(settings.label_store).labels(name, at=snapshot))
    path = _memory_file(settings, name)
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(orjson.dumps({"snapshot": str(snapshot), "labels": labels}))
    temporary.replace(path)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """True for the one process that holds the file's lock; the kernel drops it at any death."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
