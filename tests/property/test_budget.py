"""The budget controller: bounded, never over the limit, and at midnight within 2% of it."""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from core.budget import BINS, DAY_SEC, Budget, BudgetController, expected_demand
from core.routing import uniform

USD = 3.0
EACH_USD = 0.0035
Moments = Callable[[random.Random, int], list[float]]


def steady(rng: random.Random, count: int) -> list[float]:
    return sorted(rng.random() * DAY_SEC for _ in range(count))


def daily(rng: random.Random, count: int) -> list[float]:
    """Nineteen times as much in the afternoon as in the night."""
    moments: list[float] = []
    while len(moments) < count:
        day_fraction = rng.random()
        if rng.random() < (1 + 0.9 * math.sin(2 * math.pi * (day_fraction - 0.3))) / 1.9:
            moments.append(day_fraction * DAY_SEC)
    return sorted(moments)


def bursts(rng: random.Random, count: int) -> list[float]:
    """A batch every four hours, within ten minutes."""
    return sorted(start * 4 * 3600 + rng.random() * 600 for start in range(6) for _ in range(count // 6))


def simulate(
    controller: BudgetController, moments: list[float], day: int, rng: random.Random, names: tuple[str, ...] = ("a",)
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """One day of requests; the costs by filter, the stated probabilities and what was admitted."""
    costs = dict.fromkeys(names, 0.0)
    stated, admitted = [], []
    for number, moment in enumerate(moments):
        now = day * DAY_SEC + moment
        chances = controller.admit(now, dict.fromkeys(names, EACH_USD / len(names)))
        drawn = uniform(f"{day}-{number}-{rng.random()}", "budget")
        paid = {name: EACH_USD / len(names) * rng.uniform(0.5, 1.5) for name in names if drawn < chances[name]}
        stated.append(chances[names[0]])
        admitted.append(names[0] in paid)
        if paid:
            controller.settle(now, paid)
        for name, usd in paid.items():
            costs[name] += usd
    return costs, np.array(stated), np.array(admitted)


@pytest.mark.parametrize("demand", [1.2, 2.0, 5.0])
@pytest.mark.parametrize("shape", [steady, daily, bursts], ids=lambda shape: shape.__name__)
def test_a_day_ends_within_two_percent_of_the_budget(shape: Moments, demand: float) -> None:
    """The second day on knows the shape of the first; a steady first day lands as well."""
    rng = random.Random(11)
    controller = BudgetController(Budget(USD, calls=10**6))
    for day in range(3):
        moments = shape(rng, int(USD / EACH_USD * demand))
        costs, _, _ = simulate(controller, moments, day, rng)
        assert sum(costs.values()) <= USD * 1.005
        if day or shape is steady:
            assert sum(costs.values()) == pytest.approx(USD, rel=0.02)


def test_demand_below_the_budget_is_admitted_whole() -> None:
    rng = random.Random(3)
    controller = BudgetController(Budget(USD, calls=10**6))
    for day in range(2):
        _, stated, admitted = simulate(controller, daily(rng, 300), day, rng)
    assert admitted.mean() > 0.99
    assert np.median(stated) == 1.0


def test_a_limit_of_calls_is_kept_as_well_as_one_of_money() -> None:
    rng = random.Random(3)
    controller = BudgetController(Budget(1e9, calls=400))
    for day in range(2):
        _, _, admitted = simulate(controller, daily(rng, 1_200), day, rng)
        assert admitted.sum() <= 400
    assert admitted.sum() == pytest.approx(400, rel=0.02)


def test_a_filter_stays_within_its_share_and_the_whole_budget_is_used() -> None:
    rng = random.Random(3)
    controller = BudgetController(Budget(USD, 10**6, shares={"a": 0.2}))
    for day in range(2):
        costs, _, _ = simulate(controller, steady(rng, 2_500), day, rng, names=("a", "b"))
    assert 0.18 * USD < costs["a"] < 0.201 * USD
    assert sum(costs.values()) == pytest.approx(USD, rel=0.02)


def test_requests_are_admitted_as_often_as_stated_in_every_decile() -> None:
    """20,000 decisions over days of changing demand: the recorded probability is the true one."""
    rng = random.Random(13)
    controller = BudgetController(Budget(USD, calls=10**6))
    parts = [simulate(controller, daily(rng, 4_000 if day % 2 else 1_000), day, rng)[1:] for day in range(8)]
    stated, admitted = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert stated.size == 20_000
    for part in np.array_split(np.argsort(stated, kind="stable"), 10):
        expected, found = min(1.0, stated[part].mean()), int(admitted[part].sum())
        assert binomtest(found, len(part), expected).pvalue > 1e-4, (expected, found / len(part))


def test_what_the_past_spent_counts_and_yesterday_does_not() -> None:
    controller = BudgetController(Budget(1.0, 100))
    noon = 10.5 * DAY_SEC
    controller.recall(noon - DAY_SEC, noon, {"a": 0.9}, {})
    controller.recall(noon - 60, noon, {"a": 0.3}, {"b": 0.1})
    state = controller.state(noon)
    assert (state.usd.spent, state.calls.spent) == (pytest.approx(0.3), 1)
    assert controller.state(noon + DAY_SEC).usd.spent == 0


def test_money_of_calls_under_way_is_not_spent_twice() -> None:
    controller = BudgetController(Budget(0.01, 100))
    controller.reserve({"a": 0.008})
    assert controller.admit(0.0, {"a": 0.004}) == {"a": 0.0}
    controller.release({"a": 0.008})
    assert controller.admit(0.0, {"a": 0.004})["a"] > 0


bins = st.lists(st.floats(0, 1e3), min_size=BINS, max_size=BINS)


@given(bins, st.none() | bins, st.floats(0, 1, exclude_max=True))
def test_expected_demand_is_never_negative(today: list[float], typical: list[float] | None, at: float) -> None:
    assert expected_demand(today, typical, at) >= 0


@given(st.floats(0, 100), st.floats(0, DAY_SEC - 1), st.floats(0, 1), st.floats(0, 1))
def test_probabilities_are_probabilities_and_fall_with_spending(
    usd: float, now: float, spent: float, asked: float
) -> None:
    chances = []
    for share in (0.0, spent):
        controller = BudgetController(Budget(usd, 1_000))
        controller.settle(now, {"a": share * usd})
        chances.append(controller.admit(now, {"a": asked})["a"])
    assert all(0 <= chance <= 1 for chance in chances)
    assert chances[1] <= chances[0]
