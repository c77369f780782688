from datetime import UTC, date, datetime

import pytest

from core.spec import FilterSpec
from offline.quality import live_quality
from offline.stored import StoredLabel
from tests.support.specs import CONFIG

SPEC = FilterSpec.model_validate(CONFIG)


def label(
    number: int, truth: float, predicted: float, propensity: float | None, reason: str, day: int = 1
) -> StoredLabel:
    return StoredLabel(
        f"a{number}", "demo", "v1", {"a": truth, "b": truth}, "replay",
        propensity=propensity, reason=reason, weighted=predicted, stage="scorer",
        time=datetime(2026, 11, day, 12, tzinfo=UTC),
    )  # fmt: skip


LABELS = [
    *[label(i, 5.0, 4.5, 0.5, "near_threshold") for i in range(10)],  # stand for 20 articles, all found
    *[label(10 + i, 0.0, 0.2, 0.05, "audit") for i in range(10)],  # for 200 irrelevant ones
    label(20, 6.0, 5.0, 0.1, "gate_audit"),  # for 10 relevant ones behind the gate
    *[label(30 + i, 1.0, 1.0, 0.5, "audit", day=2) for i in range(3)],
    label(40, 9.0, 1.0, None, "imported"),
]


def test_days_and_their_total_by_filter():
    first, second, total = live_quality(LABELS, {("demo", "v1"): SPEC})
    assert (first.day, second.day, total.day) == (date(2026, 11, 1), date(2026, 11, 2), None)
    assert (first.labels, second.labels, total.labels) == (21, 3, 24)
    assert first.mae is not None
    assert first.mae.value == pytest.approx((20 * 0.5 + 200 * 0.2) / 220)
    assert first.gate_recall is not None
    assert first.gate_recall.value == pytest.approx(20 / 30)
    assert first.tier_recall["medium"] is not None
    assert first.tier_recall["medium"].value == pytest.approx(20 / 30)
    assert first.tier_recall["high"] is None
    assert second.gate_recall is None


def test_unknown_versions_and_imports_are_left_out():
    assert live_quality(LABELS, {}) == []
    assert live_quality([LABELS[-1]], {("demo", "v1"): SPEC}) == []
