"""Topic names and the declarative table from which topics are created."""

from dataclasses import dataclass

RAW = "articles.raw"
GATED = "articles.gated"
SCORED = "articles.scored"
REJECTED = "articles.rejected"
DEAD = "articles.dead"
ORACLE_REQUESTS = "oracle.requests"
ORACLE_LABELS = "oracle.labels"
RELEASES = "filters.releases"

_DAY_MS = 86_400_000

MESSAGE_BYTES = 4 << 20
"""Largest message of any topic: a raw record of 1 MiB grows by its embedding, labels and dead-letter headers."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic should look like. `retention_ms` -1 keeps records for ever.

    `replication` is an upper bound: a cluster of fewer brokers gets as many copies as it has brokers.
    """

    name: str
    partitions: int
    retention_ms: int
    cleanup: str = "delete"
    replication: int = 3

    def configs(self, brokers: int) -> dict[str, str]:
        """Topic configuration on a cluster of `brokers`. With three copies, two must confirm a write."""
        return {
            "retention.ms": str(self.retention_ms),
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(MESSAGE_BYTES),
            "min.insync.replicas": "2" if self.copies(brokers) > 2 else "1",
        }

    def copies(self, brokers: int) -> int:
        return min(self.replication, brokers)


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
