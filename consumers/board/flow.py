"""What the flow page shows, gathered in one snapshot."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from consumers.board.catalogue import Catalogue, humanise
from consumers.board.gauge import Gauge
from consumers.board.quality import FilterQuality, LiveQuality
from consumers.board.queries import History
from core import topics
from core.settings import Settings

MINUTES = 60
DEAD_SHOWN = 30
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicFlow:
    """`records` ever appended; both figures None while no broker answers."""

    name: str
    records: int | None
    per_minute: float | None


@dataclass(frozen=True, slots=True)
class OracleFlow:
    """Spending as the labels of today (UTC) state it."""

    spent_usd: float
    budget_usd: float
    labels_today: int
    calls_per_day: int

    @property
    def share(self) -> float:
        return min(1.0, self.spent_usd / self.budget_usd) if self.budget_usd else 0.0


@dataclass(frozen=True, slots=True)
class Release:
    name: str
    label: str
    version: str
    sha256: str
    since_ms: int | None


@dataclass(frozen=True, slots=True)
class DeadLetterView:
    place: str
    at_ms: int
    stage: str
    reason: str
    message: str
    key: str
    preview: str


@dataclass(frozen=True, slots=True)
class Flow:
    """One snapshot. `minutes` are articles per minute, oldest first: (scored, rejected)."""

    connected: bool
    topics: Mapping[str, TopicFlow]
    lags: Mapping[str, int | None]
    minutes: Sequence[tuple[int, int]]
    latency_ms: tuple[int, int] | None
    rejected: Mapping[str, int]
    dead: Mapping[str, int]
    letters: Sequence[DeadLetterView]
    oracle: OracleFlow
    releases: Sequence[Release]
    quality: Sequence[FilterQuality]

    @property
    def dead_total(self) -> int:
        return sum(self.dead.values())


def snapshot(settings: Settings, gauge: Gauge, live: LiveQuality) -> Flow:
    """Everything at this moment."""
    history, reading = live.history, gauge.latest
    return Flow(
        connected=reading is not None,
        topics={
            topic.name: TopicFlow(
                topic.name, reading.records.get(topic.name, 0) if reading else None, gauge.per_minute(topic.name)
            )
            for topic in topics.TOPICS
        },
        lags=reading.lags if reading else {},
        minutes=_minutes(history),
        latency_ms=_latency(history),
        rejected=history.counts("reason", "rejected"),
        dead={
            f"{row['stage']}: {row['reason']}": row["n"]
            for row in history.rows("SELECT stage, reason, count(*) n FROM dead GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 20")
        },
        letters=_letters(history),
        oracle=_oracle(history, settings),
        releases=_releases(history, live.catalogue),
        quality=live.figures(),
    )


def _minutes(history: History) -> list[tuple[int, int]]:
    now = int(time.time() // 60)
    rows = history.rows(
        """SELECT kind, at_ms / 60000 AS minute, count(*) AS n FROM articles
           WHERE kind IN ('scored', 'rejected') AND at_ms >= ? GROUP BY 1, 2""",
        ((now - MINUTES + 1) * 60_000,),
    )
    counts = {(row["kind"], row["minute"]): row["n"] for row in rows}
    return [
        (counts.get(("scored", minute), 0), counts.get(("rejected", minute), 0))
        for minute in range(now - MINUTES + 1, now + 1)
    ]


def _latency(history: History) -> tuple[int, int] | None:
    """Median and 95th percentile of the latest scored articles, in ms from the append of the raw record."""
    rows = history.rows(
        """SELECT latency_ms FROM articles WHERE kind = 'scored' AND latency_ms IS NOT NULL
           ORDER BY at_ms DESC, n DESC LIMIT 500"""
    )
    values = sorted(int(row[0]) for row in rows)
    return (values[len(values) // 2], values[int(len(values) * 0.95)]) if values else None


def _letters(history: History) -> list[DeadLetterView]:
    rows = history.rows(
        "SELECT place, at_ms, stage, reason, message, key, preview FROM dead ORDER BY at_ms DESC LIMIT ?", (DEAD_SHOWN,)
    )
    return [DeadLetterView(**dict(row)) for row in rows]


def _oracle(history: History, settings: Settings) -> OracleFlow:
    midnight_ms = int(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
    row = history.rows(
        """SELECT coalesce(sum(json_extract(label, '$.cost_usd')), 0), count(DISTINCT id)
           FROM labels WHERE at_ms >= ?""",
        (midnight_ms,),
    )[0]
    return OracleFlow(float(row[0]), settings.oracle_daily_usd, int(row[1]), settings.oracle_daily_calls)


def _releases(history: History, catalogue: Catalogue) -> list[Release]:
    """Active filters: as announced on filters.releases, otherwise as releases.json says."""
    announced = {row["name"]: Release(row["name"], humanise(row["name"]), row["version"], row["sha256"], row["at_ms"])
                 for row in history.announced()}  # fmt: skip
    shipped = {
        name: Release(name, humanise(name), version, "", None)
        for name, version in catalogue.active().items()
        if name not in announced
    }
    return [release for _, release in sorted((announced | shipped).items())]
