"""Topic names and the declarative table from which topics are created."""

from dataclasses import dataclass, field

RAW = "articles.raw"
GATED = "articles.gated"
SCORED = "articles.scored"
REJECTED = "articles.rejected"
DEAD = "articles.dead"
ORACLE_REQUESTS = "oracle.requests"
ORACLE_LABELS = "oracle.labels"
RELEASES = "filters.releases"

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic should look like. `retention_ms` -1 keeps records for ever."""

    name: str
    partitions: int
    retention_ms: int
    cleanup: str = "delete"
    configs: dict[str, str] = field(default_factory=dict)


TOPICS: tuple[Topic, ...] = (
    Topic(RAW, partitions=12, retention_ms=7 * _DAY_MS),
    Topic(GATED, partitions=12, retention_ms=2 * _DAY_MS),
    Topic(SCORED, partitions=12, retention_ms=30 * _DAY_MS),
    Topic(REJECTED, partitions=12, retention_ms=7 * _DAY_MS),
    Topic(DEAD, partitions=3, retention_ms=30 * _DAY_MS),
    Topic(ORACLE_REQUESTS, partitions=3, retention_ms=30 * _DAY_MS),
    Topic(ORACLE_LABELS, partitions=3, retention_ms=-1),
    Topic(RELEASES, partitions=1, retention_ms=-1, cleanup="compact"),
)
"""Keyed by article id, but for filters.releases (by filter name). Partitions bound how many processes share a stage."""
