"""How long a run trains, and how fast: warm up, stay, fall linearly to the end."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from offline.training.recipes import Training


@dataclass
class Schedule:
    """`ends`: steps of the whole run. Early stopping brings the fall forward instead of cutting it off, because the
    fall itself is worth more than the steps before it.

    best, waited: the lowest validation cost so far, and validations since then.
    """

    training: Training
    ends: int
    best: float = math.inf
    waited: int = 0

    @classmethod
    def of(cls, training: Training) -> "Schedule":
        return cls(training, training.steps)

    def rate(self, step: int) -> float:
        """Factor on the learning rates."""
        return min(1.0, (step + 1) / self.training.warmup_steps, max(0.02, (self.ends - step) / self._fall_steps))

    def validated(self, step: int, cost: float) -> None:
        """Note a validation; after `patience` of them without a better one the rate begins to fall at once."""
        self.waited = 0 if cost < self.best else self.waited + 1
        self.best = min(self.best, cost)
        if self.training.patience and self.waited >= self.training.patience:
            self.ends = min(self.ends, step + self._fall_steps)

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; the recipe it does not: a resumed run may be longer."""
        stopped = self.ends < self.training.steps
        kept = asdict(self)
        return {name: kept[name] for name in ("best", "waited")} | ({"ends": self.ends} if stopped else {})

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def _fall_steps(self) -> int:
        return max(1, round(self.training.steps * self.training.decay_share))
