"""How much of the demand the oracle's budget admits, so that money lasts until midnight UTC and no longer.

Pure: no clock and no I/O; every call names the time. A request is admitted with probability

    left of the limit / demand still expected today

The same feedback serves money, calls and each filter's share of the money. Demand is counted as if everything
were admitted, by quarter of an hour; the shape of the last seven days says what is still to come today, and the
last hours say on which level. Without a history the present level is taken to continue.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DAY_SEC = 86_400
BINS = 96
"""Quarters of an hour. The budget lands within the demand of one bin, about 1% of a day."""

_HALF_LIFE_BINS = 4.0
_HALF_LIFE_BINS_WITH_HISTORY = 16.0
"""How fast the present level forgets. Where the shape is known, four hours: feeds come in bursts that far apart."""
_PRIOR_BINS = 4.0
"""Weight of "today is like the other days", in bins of ordinary demand."""
_HISTORY_DAYS = 7


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits per UTC day. `shares` caps a filter at a share of the money; filters not named have no cap."""

    usd: float
    calls: int
    shares: Mapping[str, float] = field(default_factory=dict)


def expected_demand(today: Sequence[float], typical: Sequence[float] | None, day_fraction: float) -> float:
    """Demand still to come today.

    Args:
        today: [BINS] demand seen so far.
        typical: [BINS] demand of an ordinary day, None where no earlier day is known.
        day_fraction: time of day in [0, 1).
    """
    current = min(int(day_fraction * BINS), BINS - 1)
    shape = typical if typical is not None else [1.0] * BINS
    prior = _PRIOR_BINS * math.fsum(shape) / BINS if typical is not None else 0.0
    # Without a history, the bins before the first demand say nothing: the stage did not run.
    first = 0 if typical is not None else next((i for i in range(current) if today[i]), current)
    half_life = _HALF_LIFE_BINS if typical is None else _HALF_LIFE_BINS_WITH_HISTORY
    weights = {i: 0.5 ** ((current - i) / half_life) for i in range(first, current)}
    seen = math.fsum(weight * today[i] for i, weight in weights.items()) + prior
    usual = math.fsum(weight * shape[i] for i, weight in weights.items()) + prior
    level = seen / usual if usual else today[current]
    rest_of_bin = max(0.0, level * shape[current] - today[current])
    return rest_of_bin + level * math.fsum(shape[current + 1 :])


@dataclass
class Lane:
    """One limit with what counts against it, and the demand by day and bin."""

    limit: float
    spent: float = 0.0
    reserved: float = 0.0
    demand: dict[int, list[float]] = field(default_factory=dict)

    @property
    def left(self) -> float:
        return self.limit - self.spent - self.reserved

    def admit(self, now: float, amount: float) -> float:
        """Probability of admitting `amount` now, which is then counted as demand."""
        probability = 0.0
        if self.left >= amount:
            ahead = amount + self.ahead(now)
            probability = min(1.0, self.left / ahead) if ahead > 0 else 1.0
        self.want(now, amount)
        return probability

    def want(self, now: float, amount: float) -> None:
        self._bins(_day(now))[_bin(now)] += amount

    def ahead(self, now: float) -> float:
        """Demand expected from now until midnight."""
        day = _day(now)
        earlier = [bins for other, bins in self.demand.items() if other < day and any(bins)]
        typical = [math.fsum(column) / len(earlier) for column in zip(*earlier, strict=True)] if earlier else None
        return expected_demand(self._bins(day), typical, now % DAY_SEC / DAY_SEC)

    def start_day(self, day: int) -> None:
        self.spent = 0.0
        for old in [other for other in self.demand if other < day - _HISTORY_DAYS]:
            del self.demand[old]

    def _bins(self, day: int) -> list[float]:
        return self.demand.setdefault(day, [0.0] * BINS)


@dataclass(frozen=True, slots=True)
class LaneState:
    """A limit as `stillhouse oracle budget` shows it. `forecast` is the spending expected by midnight."""

    limit: float
    spent: float
    forecast: float


@dataclass(frozen=True, slots=True)
class BudgetState:
    usd: LaneState
    calls: LaneState
    filters: Mapping[str, LaneState]


class BudgetController:
    """Spending and demand of the present day. Times are seconds since the epoch; they may not run backwards."""

    def __init__(self, budget: Budget) -> None:
        self._usd = Lane(budget.usd)
        self._calls = Lane(budget.calls)
        self._filters = {name: Lane(budget.usd * share) for name, share in budget.shares.items() if share < 1}
        self._day = -1

    def admit(self, now: float, estimates: Mapping[str, float]) -> dict[str, float]:
        """Probability of asking each filter of one request, from its expected cost in USD.

        Shares are applied first, so that the demand on the whole budget counts only what they let through.
        """
        self._roll(now)
        shares = {
            name: self._filters[name].admit(now, usd) if name in self._filters else 1.0
            for name, usd in estimates.items()
        }
        usd = math.fsum(estimates[name] * share for name, share in shares.items())
        common = min(self._usd.admit(now, usd), self._calls.admit(now, max(shares.values(), default=0.0)))
        return {name: common * share for name, share in shares.items()}

    def reserve(self, estimates: Mapping[str, float]) -> None:
        """Set money aside for a call that is about to be made; `settle` or `release` takes it back."""
        self._book(estimates, sign=1)

    def release(self, estimates: Mapping[str, float]) -> None:
        self._book(estimates, sign=-1)

    def settle(self, now: float, costs: Mapping[str, float]) -> None:
        """Count one call that was made, by filter; `costs` in USD."""
        self._roll(now)
        self._usd.spent += math.fsum(costs.values())
        self._calls.spent += 1
        for name, lane in self._filters.items():
            lane.spent += costs.get(name, 0.0)

    def recall(self, at: float, now: float, costs: Mapping[str, float], declined: Mapping[str, float]) -> None:
        """Count a request of the past, read from oracle.labels or the ledger: spending if today, demand always."""
        self._roll(now)
        wanted = {**costs, **declined}
        self._usd.want(at, math.fsum(wanted.values()))
        self._calls.want(at, 1)
        for name, lane in self._filters.items():
            lane.want(at, wanted.get(name, 0.0))
        if costs and _day(at) == _day(now):
            self.settle(now, costs)

    def state(self, now: float) -> BudgetState:
        self._roll(now)
        filters = {name: _state(lane, now) for name, lane in self._filters.items()}
        return BudgetState(_state(self._usd, now), _state(self._calls, now), filters)

    def _roll(self, now: float) -> None:
        if (day := _day(now)) != self._day:
            self._day = day
            for lane in (self._usd, self._calls, *self._filters.values()):
                lane.start_day(day)

    def _book(self, estimates: Mapping[str, float], sign: int) -> None:
        self._usd.reserved += sign * math.fsum(estimates.values())
        self._calls.reserved += sign
        for name, lane in self._filters.items():
            lane.reserved += sign * estimates.get(name, 0.0)


def _state(lane: Lane, now: float) -> LaneState:
    return LaneState(lane.limit, lane.spent, min(max(lane.limit, lane.spent), lane.spent + lane.ahead(now)))


def _day(now: float) -> int:
    return int(now // DAY_SEC)


def _bin(now: float) -> int:
    return min(int(now % DAY_SEC / DAY_SEC * BINS), BINS - 1)
