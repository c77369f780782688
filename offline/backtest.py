"""`stillhouse backtest`: labelled articles replayed as if their labels were unknown; policies at equal budgets.

Every round the policy buys labels, and a probe (ridge on the embedding) is trained again on all bought so far.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.spec import FilterSpec
from offline.dataset import MAX_WEIGHT, Array
from offline.metrics import ranking
from offline.policies import DEFAULT, Policy, View, scaled
from offline.splits import near_duplicate_groups
from offline.training.linear import Standard, apply, fit_ridge
from offline.training.targets import weighted_scores

_MEMBERS = 4
_MEMBER_SHARE = 0.7
_ALPHAS = (0.1, 0.3, 1.0, 3.0)
"""Few labels need a strong penalty, many a weak one: a fixed one would credit or blame the policies for it."""
_HELD_OUT = 0.2


@dataclass(frozen=True)
class Pool:
    """Labelled articles of one filter. embeddings: [n, d] unit length. truth: [n, dimensions]."""

    spec: FilterSpec
    embeddings: Array
    truth: Array


@dataclass(frozen=True)
class Plan:
    """How often the replay is repeated (`seeds`), and after which shares of the pool it is judged."""

    seeds: int = 5
    shares: tuple[float, ...] = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
    policies: Sequence[Policy] = DEFAULT


@dataclass(frozen=True, slots=True)
class Point:
    """Quality on held-out articles once `labels` were bought (`share` of the pool)."""

    policy: str
    seed: int
    share: float
    labels: int
    mae: float
    spearman: float
    average_precision: float


def backtest(pool: Pool, plan: Plan, report: Callable[[str], None] = lambda _: None) -> list[Point]:
    """Replay every policy with every seed. The same seed gives all policies the same held-out articles and start."""
    groups = near_duplicate_groups(pool.embeddings)
    points = []
    for seed in range(plan.seeds):
        test = _held_out(groups, seed)
        for policy in plan.policies:
            points += _replay(pool, plan, policy, seed, test)
            report(f"seed {seed + 1} of {plan.seeds}: {policy.name}")
    return points


def needed_share(points: Sequence[Point], policy: str, tolerance: float = 0.02) -> float | None:
    """Least share of labels whose mean error is within `tolerance` of that of all labels; None if only all are."""
    mean = mean_by_share(points, policy)
    full = mean[max(mean)].mae
    reached = [share for share, point in mean.items() if share < max(mean) and point.mae <= full * (1 + tolerance)]
    return min(reached, default=None)


def mean_by_share(points: Sequence[Point], policy: str) -> dict[float, Point]:
    """Mean over the seeds, by share."""
    own = [point for point in points if point.policy == policy]
    means = {}
    for share in sorted({point.share for point in own}):
        at = [point for point in own if point.share == share]
        values = [float(np.mean([getattr(p, name) for p in at])) for name in ("mae", "spearman", "average_precision")]
        means[share] = Point(policy, -1, share, round(float(np.mean([p.labels for p in at]))), *values)
    return means


def _replay(pool: Pool, plan: Plan, policy: Policy, seed: int, test: NDArray[np.bool_]) -> list[Point]:
    rng = np.random.default_rng(seed)
    candidates = np.flatnonzero(~test)
    standard = Standard.of(pool.embeddings[candidates])  # the articles are known, only their labels are not
    weights = np.zeros(len(pool.truth))  # 0: not asked
    committee: Array | None = None
    points = []
    for share in sorted(plan.shares):
        budget = round(share * len(candidates)) - int((weights > 0).sum())
        waiting = candidates[weights[candidates] == 0]
        wish = np.ones(len(waiting)) if committee is None else policy.wish(_view(pool.spec, committee[:, waiting]))
        chances = scaled(wish, budget)
        chosen = _draw(rng, chances, budget)
        # Relative to the round's mean: the chances of a round that buys little are small, and mean nothing by it.
        # The root tempers them: whole weights cost 3% in error here and no weights 1%, both for no gain in bias.
        weights[waiting[chosen]] = np.sqrt(np.minimum(MAX_WEIGHT, chances.mean() / chances[chosen]))
        rows = np.flatnonzero(weights)
        fit = Fit(pool, standard, weights.astype(np.float32), _best_alpha(pool, standard, rows, weights))
        size = max(2, int(_MEMBER_SHARE * len(rows)))
        committee = np.stack([fit.predict(rng.permutation(rows)[:size]) for _ in range(_MEMBERS)])
        found = ranking(fit.predict(rows)[test], _oracle(pool)[test], pool.spec.gate.relevant_at)
        quality = [found["mae"], found.get("spearman", 0.0), found.get("average_precision", 0.0)]
        points.append(Point(policy.name, seed, share, len(rows), *quality))
    return points


def _view(spec: FilterSpec, committee: Array) -> View:
    return View(committee.astype(np.float64), [tier.at_least for tier in spec.tiers])


@dataclass(frozen=True)
class Fit:
    """How a round's probes are trained."""

    pool: Pool
    standard: Standard
    weights: Array
    alpha: float

    def predict(self, rows: NDArray[np.int64]) -> Array:
        """[n] weighted scores of all articles by a probe trained on `rows`."""
        x, y = self.pool.embeddings, self.pool.truth
        head = fit_ridge(self.standard, x[rows], y[rows], self.weights[rows], self.alpha)
        return weighted_scores(self.pool.spec, apply(head, x))


def _best_alpha(pool: Pool, standard: Standard, rows: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    """By the leave-one-out error on the labels bought so far."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=[alpha * len(rows) for alpha in _ALPHAS])
    model.fit(standard(pool.embeddings[rows]), pool.truth[rows], sample_weight=weights[rows] / weights[rows].mean())
    return float(model.alpha_) / len(rows)


def _oracle(pool: Pool) -> Array:
    return weighted_scores(pool.spec, pool.truth)


def _draw(rng: np.random.Generator, chances: NDArray[np.float64], budget: int) -> NDArray[np.int64]:
    """Exactly `budget` rows with these inclusion probabilities: systematic sampling over a random order."""
    order = rng.permutation(len(chances))
    edges = np.concatenate([[0.0], np.cumsum(chances[order])])
    marks = rng.random() + np.arange(budget)
    return np.asarray(order[np.unique(np.clip(np.searchsorted(edges, marks, side="right") - 1, 0, len(order) - 1))])


def _held_out(groups: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """True for a fifth of the articles; near-duplicates stay on one side."""
    names = np.unique(groups)
    chosen = np.random.default_rng(1_000 + seed).permutation(names)[: round(_HELD_OUT * len(names))]
    return np.isin(groups, chosen)
