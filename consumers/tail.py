"""`stillhouse tail`: scored articles as they come."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from consumers.reading import reader
from core.settings import Settings
from core.topics import SCORED


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are shown. Without a filter, the article's best weighted score counts."""

    filter_name: str | None = None
    min_score: float = 0.0

    def matches(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record's filters that reach the score, best first."""
        chosen = {
            name: result
            for name, result in record["filters"].items()
            if self.filter_name in (None, name) and result["weighted"] >= self.min_score
        }
        return dict(sorted(chosen.items(), key=lambda item: -item[1]["weighted"]))


async def follow(
    settings: Settings, wanted: Wanted, *, from_start: bool
) -> AsyncIterator[tuple[bytes, dict[str, Any]]]:
    """Raw bytes and decoded record of each wanted article, for ever."""
    async with reader(settings, SCORED, auto_offset_reset="earliest" if from_start else "latest") as consumer:
        async for raw in consumer:
            record = orjson.loads(raw.value)
            if wanted.matches(record):
                yield raw.value, record


def line(record: Mapping[str, Any], wanted: Wanted) -> str:
    """One line for people: the best filters with score, tier and interval, then source and title."""
    parts = []
    for name, result in list(wanted.matches(record).items())[:3]:
        low, high = result["interval"] or (None, None)
        span = f" [{low:.1f}-{high:.1f}]" if low is not None else ""
        parts.append(f"{name} {result['weighted']:.2f} {result['tier']}{span}")
    return f"{'  '.join(parts)}  {record['source'] or '-'}: {record['title'] or record['id']}"
