"""What this machine computes well: read once, so that nobody chooses a number type or a thread count blindly.

bf16 without hardware is emulated: 400 times slower than fp32 in torch on AVX2. Having AVX-512 is not enough.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

NumberType = Literal["bf16", "f32"]

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As Linux names them on x86; `bf16` is ARM's."""


@dataclass(frozen=True, slots=True)
class Processor:
    """`cores`: those that this process may use."""

    name: str
    cores: int
    bf16: bool

    @property
    def number_type(self) -> NumberType:
        return "bf16" if self.bf16 else "f32"

    def __str__(self) -> str:
        return f"{self.name}, {self.cores} cores, {'bf16' if self.bf16 else 'no bf16: computing in f32'}"


@cache
def processor() -> Processor:
    name, flags = _cpuinfo(Path("/proc/cpuinfo"))
    return Processor(name, usable_cores(), bool(_BF16_FLAGS & flags))


def usable_cores() -> int:
    """Cores of this process, within its affinity mask and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _container_quota(Path("/sys/fs/cgroup/cpu.max"), cores)))


def settle_threads() -> None:
    """Thread settings that measured best. Only effective before numpy or torch is imported.

    Waiting threads sleep (spinning ones take the cores from the broker and from each other). numpy keeps to one
    thread: its products here are single rows, and OpenBLAS threads cost more than they compute.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _cpuinfo(path: Path) -> tuple[str, frozenset[str]]:
    """Model name and flags; both empty where the system has no such file: then f32 is computed."""
    name, flags = "unknown processor", frozenset[str]()
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return name, flags
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            return name, frozenset(value.split())
    return name, flags


def _container_quota(path: Path, default: int) -> int:
    """cgroup v2: `cpu.max` holds quota and period in microseconds, or the word max."""
    try:
        quota, period = path.read_text().split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        return default
