"""Which sequences share a pass: one padded length for each batch, decided by the sequence's own length.

Matrix kernels round differently for different padded lengths (odd ones, and those below a kernel's block), so a
sequence's padded length must not come from its neighbours. Multiples of 16 cost 3% padding on real feeds and make
OpenVINO's results bit-equal for any number of rows, in f32 and in bf16 (tests/contract/test_engines.py).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.engines.protocol import States, TokenIds

log = logging.getLogger(__name__)
QUANTUM = 16


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """Tokens of one pass, padding included, and rows at most: bounds memory and keeps caches warm."""

    tokens: int = 2048
    rows: int = 64

    def rows_at(self, padded: int) -> int:
        return max(1, min(self.rows, self.tokens // padded))


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences of one pass: their places in the call, and the length that all are padded to."""

    places: tuple[int, ...]
    padded: int


Compute = Callable[[Sequence[TokenIds], int], States]
"""(sequences, padded length) -> one state each."""


def padded_length(tokens: int) -> int:
    return -(-tokens // QUANTUM) * QUANTUM


def plan(lengths: Sequence[int], budget: TokenBudget) -> Iterator[Batch]:
    """Longest first: if memory does not suffice, it shows at once."""
    by_length: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        by_length.setdefault(padded_length(length), []).append(place)
    for padded in sorted(by_length, reverse=True):
        places, rows = by_length[padded], budget.rows_at(padded)
        for first in range(0, len(places), rows):
            yield Batch(tuple(places[first : first + rows]), padded)


def pack(lengths: Sequence[int], tokens: int) -> Iterator[tuple[int, ...]]:
    """Places of the sequences that lie one after another in a pass of `tokens`, each padded to its own length."""
    pass_, used = list[int](), 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        room = padded_length(lengths[place])
        if pass_ and used + room > tokens:
            yield tuple(pass_)
            pass_, used = [], 0
        pass_.append(place)
        used += room
    if pass_:
        yield tuple(pass_)


def run(sequences: Sequence[TokenIds], budget: TokenBudget, width: int, compute: Compute) -> States:
    """All states in the order of `sequences`."""
    states = np.empty((len(sequences), width), dtype=np.float32)
    for batch in plan([len(ids) for ids in sequences], budget):
        states[list(batch.places)] = halving([sequences[place] for place in batch.places], batch.padded, compute)
    return states


def halving(rows: Sequence[TokenIds], padded: int, compute: Compute) -> States:
    """Compute; where memory does not suffice, in two halves. One row that does not fit is an error."""
    try:
        return compute(rows, padded)
    except (MemoryError, RuntimeError) as error:  # torch and OpenVINO report exhausted memory as RuntimeError
        if len(rows) == 1:
            raise
        log.warning("a batch of %d rows of %d tokens failed, going on in halves: %s", len(rows), padded, error)
    middle = len(rows) // 2
    halves = (rows[:middle], rows[middle:])
    return np.concatenate([halving(half, padded, compute) for half in halves])


def pad(rows: Sequence[TokenIds], padded: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """[rows, padded] ids, zeros on the right: causal attention never looks there."""
    ids = np.zeros((len(rows), padded), dtype=np.int64)
    for row, values in enumerate(rows):
        ids[row, : len(values)] = values
    return ids
