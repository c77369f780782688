"""Types of what strangers send are those that the dataclasses declare."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from core.parts import part


@dataclass(frozen=True)
class Label:
    version: str
    score: float
    reason: Literal["budget", "audit"] = "audit"
    stage: str | None = None
    scores: dict[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    "value",
    [
        {"version": "v1", "score": 1},
        {"version": "v1", "score": 0.5, "reason": "budget", "stage": None, "scores": {"a": 3, "b": 1.5}},
    ],
    ids=["defaults", "full"],
)
def test_what_fits_is_made(value):
    made = part(Label, value)
    assert made == Label(**value)
    assert isinstance(made.score, float)


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 1},
        {"score": "1"},
        {"score": True},
        {"score": float("inf")},
        {"reason": "whim"},
        {"reason": []},
        {"stage": 0},
        {"scores": []},
        {"scores": {"a": None}},
        {"more": 1},
    ],
    ids=lambda wrong: "-".join(f"{name}-{value!r}" for name, value in wrong.items()),
)
def test_what_does_not_is_named(wrong):
    with pytest.raises(TypeError, match=next(iter(wrong))):
        part(Label, {"version": "v1", "score": 1.0, **wrong})


@pytest.mark.parametrize("value", [None, [1], "text", {"version": "v1"}, {1: 2}])
def test_what_is_no_such_object_is_refused(value):
    with pytest.raises(TypeError):
        part(Label, value)
