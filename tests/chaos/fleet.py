"""Worker processes that are killed, stopped and replaced at random, and the account of what it did to the stream."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from core.settings import Settings
from core.topics import DEAD, GATED, ORACLE_REQUESTS, REJECTED, SCORED
from offline.label_store import LabelStore
from tests.support.kafka import PROJECT, Broker, read

STAGES = ("screen", "score", "oracle", "labels")
SESSION_SEC = 2.0


@dataclass
class Fleet:
    """Workers of one machine: they share STILLHOUSE_HOME and the broker."""

    settings: Settings
    size: int
    random: random.Random
    stages: tuple[str, ...] = STAGES
    pause_sec: float | None = None
    workers: list[subprocess.Popen] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def __enter__(self) -> "Fleet":
        self.log = (self.settings.home / "workers.log").open("ab")
        self.workers = [self._start() for _ in range(self.size)]
        return self

    def __exit__(self, *_) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
        self.log.close()

    def _start(self) -> subprocess.Popen:
        names = ("kafka", "port", "home", "group_prefix", "session_timeout_sec", "batch")
        values = {f"STILLHOUSE_{n.upper()}": str(v) for n in names if (v := getattr(self.settings, n)) is not None}
        if self.pause_sec is not None:
            values["CHAOS_PAUSE_SEC"] = str(self.pause_sec)
        values["STILLHOUSE_FILTERS"] = ":".join(map(str, self.settings.filters))
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.worker", *self.stages],
            cwd=PROJECT,
            env=os.environ | values,
            stdout=self.log,
            stderr=self.log,
        )

    def last_words(self) -> str:
        return (self.settings.home / "workers.log").read_text(errors="replace")[-3_000:]

    def memory_mb(self) -> float:
        """Resident memory of the largest worker."""
        statuses = [Path(f"/proc/{worker.pid}/status").read_text() for worker in self.workers]
        return max(int(status.split("VmRSS:")[1].split()[0]) for status in statuses) / 1024

    def revive(self) -> int:
        """Replace workers that have ended by themselves; returns how many."""
        dead = [index for index, worker in enumerate(self.workers) if worker.poll() is not None]
        for index in dead:
            self.workers[index] = self._start()
        return len(dead)

    def kill(self, number: int = 1) -> None:
        """SIGKILL `number` workers at once, and start others in their place."""
        for index in self.random.sample(range(self.size), number):
            self.workers[index].kill()
            self.workers[index].wait()
            self.workers[index] = self._start()
            self.counts["kills"] += 1

    async def kill_during_rebalance(self) -> None:
        """The first death starts a rebalance, the second falls into it."""
        self.kill()
        await asyncio.sleep(self.random.uniform(0.1, SESSION_SEC))
        self.kill()
        self.counts["kills in a rebalance"] += 1

    async def stop_and_resume(self) -> None:
        """A worker sleeps past its session, and goes on believing that it owns its partitions."""
        worker = self.random.choice(self.workers)
        worker.send_signal(signal.SIGSTOP)
        await asyncio.sleep(SESSION_SEC * 1.7)
        worker.send_signal(signal.SIGCONT)
        self.counts["stopped and resumed"] += 1

    async def drain(self, index: int | None = None) -> None:
        """SIGTERM and replace, as a rolling restart does."""
        index = self.random.randrange(self.size) if index is None else index
        self.workers[index].terminate()
        for _ in range(600):
            if self.workers[index].poll() is not None:
                break
            await asyncio.sleep(0.1)
        assert self.workers[index].poll() is not None, "a worker did not drain within 60 s"
        self.workers[index] = self._start()
        self.counts["drained"] += 1


async def torment(fleet: Fleet, broker: Broker, kills: int) -> None:
    """Accidents in random order and at random times until `kills` workers were killed."""
    restarts = 1 if broker.folder else 0
    while fleet.counts["kills"] < kills:
        await asyncio.sleep(fleet.random.uniform(0.3, 3.0))
        draw = fleet.random.random()
        if restarts and fleet.counts["kills"] > kills / 2:
            restarts -= 1
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
            fleet.counts["broker restarts"] += 1
        elif draw < 0.2:
            await fleet.kill_during_rebalance()
        elif draw < 0.3:
            await fleet.stop_and_resume()
        elif draw < 0.35:
            await fleet.drain()
        else:
            fleet.kill()


@dataclass(frozen=True)
class Account:
    """What a run did to `articles`. `repeated` is the share of records of all stages that were published again."""

    articles: int
    lost: int
    unequal: int
    duplicates: int
    repeated: float
    dead: int
    labels: int
    labels_missing: int
    labels_twice: int
    counts: dict
    seconds: float

    def __str__(self) -> str:
        accidents = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return (
            f"{self.articles} articles, {accidents} in {self.seconds:.0f} s: {self.lost} lost, "
            f"{self.duplicates} duplicates of which {self.unequal} unequal, {self.dead} dead letters, "
            f"{self.repeated:.1%} of the records published again, {self.labels} label rows, "
            f"{self.labels_missing} missing, {self.labels_twice} twice"
        )


async def audit(settings: Settings, keys: set[bytes], counts: Counter, started: float) -> Account:
    """Read every topic and the label store, and count."""
    outcomes = defaultdict(Counter)
    for record in await read(settings, SCORED, REJECTED, DEAD):
        outcomes[record.key][record.topic, record.value] += 1
    between = Counter((r.topic, r.key) for r in await read(settings, GATED, ORACLE_REQUESTS))
    total = sum(between.values()) + sum(map(Counter.total, outcomes.values()))
    requests = await read(settings, ORACLE_REQUESTS)
    import orjson

    asked = {(r.key.decode(), name) for r in requests for name in orjson.loads(r.value)["filters"]}
    rows = Counter((label.article_id, label.filter) for label in LabelStore(settings.label_store).labels())
    return Account(
        articles=len(keys),
        lost=len(keys - outcomes.keys()),
        unequal=sum(len(found) > 1 for found in outcomes.values()),
        duplicates=sum(found.total() - 1 for found in outcomes.values()),
        repeated=1 - (len(between) + len(outcomes)) / total,
        dead=sum(topic == DEAD for found in outcomes.values() for topic, _ in found),
        labels=rows.total(),
        labels_missing=len(asked - rows.keys()),
        labels_twice=sum(count > 1 for count in rows.values()),
        counts=dict(counts),
        seconds=time.monotonic() - started,
    )
