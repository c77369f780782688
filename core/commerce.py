"""Commerce: what sells rather than reports. The embedding decides the clear cases, the scorer reads the doubtful ones.

A language model that reads the text finds more of the advertisements than the embedding can, and rejects half as many
other articles (docs/decisions/0021). It is asked only where the embedding leaves a doubt.
"""

import math
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

COMMERCE, THRESHOLDS = "commerce", "thresholds.json"


class CommerceThresholds(BaseModel):
    """Probabilities that a text sells (thresholds.json of the commerce package).

    rejected_at: of the embedding head; at or above it nothing else is asked. doubted_at, confirmed_at: at or above
    the first the scorer reads the text, and rejects it at or above the second; both None: nothing is doubted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rejected_at: float = Field(gt=0)
    doubted_at: float | None = Field(default=None, gt=0)
    confirmed_at: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.doubted_at is None) != (self.confirmed_at is None):
            raise ValueError("doubted_at and confirmed_at belong together")
        if self.doubted_at is not None and self.doubted_at > self.rejected_at:
            raise ValueError("doubted_at lies above rejected_at")
        return self

    def doubts(self, probability: float) -> bool:
        """True if the scorer has to read the text."""
        return self.doubted_at is not None and self.doubted_at <= probability < self.rejected_at

    def confirms(self, probability: float) -> bool:
        """True if the scorer's own probability rejects a doubted text."""
        return self.confirmed_at is not None and probability >= self.confirmed_at


def probability(logit: float) -> float:
    """Of a head's output, rounded as it is published and compared."""
    return round(1 / (1 + math.exp(-max(-60.0, min(60.0, logit)))), 3)
