"""Medians over interleaved repeats: what else the machine does falls on all candidates alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians of one candidate. `cpu_sec` counts all threads: it is blind to other processes on the cores."""

    wall_sec: float
    cpu_sec: float


def interleaved(candidates: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Timing]:
    """Run every candidate once per round, after one unmeasured round."""
    for run in candidates.values():
        run()
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            samples[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: Timing(statistics.median(s[0] for s in found), statistics.median(s[1] for s in found))
        for name, found in samples.items()
    }
