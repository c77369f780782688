"""What a run of `stillhouse demo --loop` saw and how long it took, for people and for programs."""

import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from core.topics import REJECTED
from front.learner import NAME
from offline.release import Released
from offline.retrain import Retrained


@dataclass
class Seen:
    """What left the stream: versions by article id, in order, and rejections."""

    scored: dict[str, str] = field(default_factory=dict)
    rejected: set[str] = field(default_factory=set)
    sets: list[str] = field(default_factory=list)

    def add(self, raw: Any) -> None:
        record = orjson.loads(raw.value)
        if raw.topic == REJECTED:
            self.rejected.add(record["id"])
        else:
            self.scored[record["id"]] = record["filters"][NAME]["version"]
            self.sets.append(record["releases"])

    @property
    def count(self) -> int:
        return len(self.scored) + len(self.rejected)


@dataclass
class Clock:
    """Seconds of every step, and since the start."""

    started: float = field(default_factory=time.perf_counter)
    laps: dict[str, float] = field(default_factory=dict)

    def lap(self, name: str) -> float:
        self.laps[name] = time.perf_counter() - self.started - sum(self.laps.values())
        return self.laps[name]


@dataclass(frozen=True)
class LoopRun:
    """A finished loop. seconds: by step. published: articles; each has exactly one outcome in `seen`."""

    first: Released
    verdict: Retrained
    second: Released
    published: int
    labels: int
    seen: Seen
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        versions = list(self.seen.scored.values())
        return {
            "filter": NAME,
            "published": self.published,
            "outcomes": self.seen.count,
            "labels": self.labels,
            "scored_by_version": {version: versions.count(version) for version in sorted(set(versions))},
            "release_sets": list(dict.fromkeys(self.seen.sets)),
            "verdict": self.verdict.to_dict(),
            "mae_before": self.second.verdict.current and self.second.verdict.current["mae"],
            "mae_after": self.second.verdict.metrics["mae"],
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }
