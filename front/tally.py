"""The demo's books: every record that came out of the stream, and whatever does not add up."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from consumers.dead import DeadLetter
from consumers.kafka import to_record
from core import topics

OUTCOMES = (topics.SCORED, topics.REJECTED, topics.DEAD)
WATCHED = (*OUTCOMES, topics.ORACLE_REQUESTS, topics.ORACLE_LABELS)


@dataclass
class Tally:
    """Every record that came out of the stream. `dead` are articles, `unanswered` requests to the oracle."""

    published: int | None = None
    scored: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    unanswered: list[DeadLetter] = field(default_factory=list)
    requests: int = 0
    labelled: int = 0
    redelivered: int = 0
    first_outcome_at: float | None = None
    last_at: float | None = None
    _seen: set[tuple[str, bytes]] = field(default_factory=set)

    def add(self, raw: Any) -> None:
        """One record as aiokafka gives it, from any topic of WATCHED."""
        if raw.topic == topics.DEAD:
            letter = DeadLetter.from_record(to_record(raw))
            if self.is_new(raw.topic, letter.place.encode()):
                (self.unanswered if letter.original.topic == topics.ORACLE_REQUESTS else self.dead).append(letter)
        elif self.is_new(raw.topic, raw.value):
            match raw.topic:
                case topics.SCORED:
                    self.scored.append(orjson.loads(raw.value))
                case topics.REJECTED:
                    self.rejected.append(orjson.loads(raw.value))
                case topics.ORACLE_REQUESTS:
                    self.requests += 1
                case topics.ORACLE_LABELS:
                    self.labelled += 1
        self.last_at = time.perf_counter()
        if raw.topic in OUTCOMES and self.first_outcome_at is None:
            self.first_outcome_at = self.last_at

    def is_new(self, topic: str, key: bytes) -> bool:
        """False for a record that came before, byte for byte: delivery is at least once."""
        new = (topic, key) not in self._seen
        self._seen.add((topic, key))
        self.redelivered += not new
        return new

    @property
    def outcomes(self) -> int:
        return len(self.scored) + len(self.rejected) + len(self.dead)

    @property
    def asked(self) -> int:
        """Scored articles that say of some filter that the oracle is asked."""
        return sum(any(f["oracle"] for f in record["filters"].values()) for record in self.scored)

    @property
    def unlabelled(self) -> bool:
        """True while requests lie before the oracle."""
        return self.labelled + len(self.unanswered) < self.requests

    def counts(self) -> dict[str, Any]:
        """For programs: what was published, and what became of it."""
        return {
            "published": self.published,
            "scored": len(self.scored),
            "rejected": dict(Counter(record["reason"] for record in self.rejected)),
            "dead": dict(Counter(letter.reason for letter in self.dead)),
            "oracle_requests": self.requests,
            "labelled": self.labelled,
            "unanswered": dict(Counter(letter.reason for letter in self.unanswered)),
            "redelivered": self.redelivered,
            "faults": self.faults(),
        }

    def faults(self) -> list[str]:
        """Whatever does not add up, in words; empty if each article has exactly one outcome."""
        found = []
        if self.outcomes != self.published:
            found.append(f"{self.published} articles were published, but {self.outcomes} outcomes came back")
        repeated = [i for i, n in Counter(r["id"] for r in (*self.scored, *self.rejected)).items() if n > 1]
        if repeated:
            found.append(f"more than one outcome for {', '.join(repeated[:5])}")
        if self.requests != self.asked:
            found.append(f"{self.asked} articles were to be asked about, {self.requests} requests lie on the topic")
        return found
