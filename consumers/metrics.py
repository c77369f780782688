"""Prometheus metrics: every name in one table, and the recorder that writes them.

Off (STILLHOUSE_METRICS_PORT=0, the default), prometheus_client is never imported.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from consumers.drift import DriftWindow
from consumers.recorder import Recorder, SilentRecorder, StageRecorder
from core.errors import SettingsError
from core.messages import Scored
from core.settings import Settings
from core.topics import GATED, ORACLE_LABELS, ORACLE_REQUESTS, REJECTED, SCORED

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from consumers.delivery import Report

OUTCOMES = {
    GATED: "gated",
    SCORED: "scored",
    REJECTED: "rejected",
    ORACLE_REQUESTS: "asked",
    ORACLE_LABELS: "labelled",
}
"""What a message on each topic means for the record that it was made of."""

LATENCY_BUCKETS_SEC = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as Prometheus exposes it; counters get the suffix `_total` from the client library."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Names that a query may use."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


METRICS: tuple[Metric, ...] = (
    Metric("stillhouse_records", "counter", "Records handled, by outcome.", ("stage", "outcome")),
    Metric("stillhouse_dead_letters", "counter", "Records that became dead letters.", ("stage", "reason")),
    Metric("stillhouse_rejections", "counter", "Articles rejected, by reason.", ("reason",)),
    Metric("stillhouse_lag_records", "gauge", "Records that wait before a stage. A worker reports its own partitions.",
           ("stage", "topic", "partition")),
    Metric(
        "stillhouse_latency_seconds",
        "histogram",
        "From the append of the raw record to the publication of its result.",
        ("stage",),
        LATENCY_BUCKETS_SEC,
    ),
    Metric("stillhouse_batch_records", "histogram", "Records per batch.", ("stage",), BATCH_BUCKETS),
    Metric("stillhouse_batch_seconds", "histogram", "Time per batch.", ("stage",), LATENCY_BUCKETS_SEC),
    Metric("stillhouse_model_seconds", "counter", "Time spent inside models.", ("stage",)),
    Metric("stillhouse_gate", "counter", "Decisions of each filter's gate.", ("filter", "state")),
    Metric("stillhouse_verdicts", "counter", "Verdicts by filter, tier and the stage that gave them.",
           ("filter", "tier", "stage")),
    Metric("stillhouse_oracle_calls", "counter", "Calls to the oracle.", ("outcome",)),
    Metric("stillhouse_oracle_spend_usd", "counter", "Money spent on the oracle by this process."),
    Metric("stillhouse_oracle_spend_today_usd", "gauge", "Money spent on the oracle today (UTC)."),
    Metric("stillhouse_oracle_budget_usd", "gauge", "Daily budget of the oracle."),
    Metric("stillhouse_release_info", "gauge", "1 for each active release.", ("name", "version", "sha256")),
    Metric("stillhouse_feed_polls", "counter", "Polls of feeds.", ("outcome",)),
    Metric("stillhouse_feed_entries", "counter", "Entries seen in feeds.", ("outcome",)),
    Metric("stillhouse_feed_failures", "gauge", "Polls that failed in a row; 0 for a healthy feed.", ("feed",)),
    Metric(
        "stillhouse_drift_psi",
        "gauge",
        "Population stability index of a filter's percentiles against its reference; above 0.2 the stream changed.",
        ("filter",),
    ),
)  # fmt: skip
"""Every metric of the project. Dashboards and alert rules under deploy/ may use these names alone."""


@dataclass
class PrometheusRecorder:
    """Writes to a registry of its own, so that two recorders in one process do not collide."""

    registry: "CollectorRegistry"
    _metrics: dict[str, Any] = field(init=False)
    _drift: dict[str, DriftWindow] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        import prometheus_client as prometheus

        self._metrics = {}
        for metric in METRICS:
            options: dict[str, Any] = {"registry": self.registry}
            if metric.buckets:
                options["buckets"] = metric.buckets
            kind = getattr(prometheus, metric.kind.capitalize())
            self._metrics[metric.name] = kind(metric.name, metric.help, metric.labels, **options)

    def of(self, name: str, *labels: str) -> Any:
        """The metric `stillhouse_<name>`, bound to `labels`."""
        metric = self._metrics[f"stillhouse_{name}"]
        return metric.labels(*labels) if labels else metric

    def stage(self, name: str) -> StageRecorder:
        return _PrometheusStage(self, name)

    def delivered(self, report: "Report") -> None:
        stage, now_ms = report.stage, time.time() * 1000
        self.of("batch_records", stage).observe(report.records)
        self.of("batch_seconds", stage).observe(report.handle_sec + report.publish_sec)
        for topic, count in report.published.items():
            self.of("records", stage, OUTCOMES.get(topic, topic)).inc(count)
        for reason, count in report.dead.items():
            self.of("records", stage, "dead").inc(count)
            self.of("dead_letters", stage, reason).inc(count)
        latency = self.of("latency_seconds", stage)
        for raw_ms in filter(None, report.raw_ms):
            latency.observe(max(0.0, (now_ms - raw_ms) / 1000))

    def drift(self, filter_name: str, percentiles: Sequence[float]) -> None:
        window = self._drift.setdefault(filter_name, DriftWindow())
        window.add(percentiles)
        if (index := window.stability_index()) is not None:
            self.of("drift_psi", filter_name).set(index)

    def oracle_call(self, outcome: str, spent_usd: float) -> None:
        self.of("oracle_calls", outcome).inc()
        self.of("oracle_spend_usd").inc(spent_usd)

    def oracle_budget(self, spent_today_usd: float, budget_usd: float) -> None:
        self.of("oracle_spend_today_usd").set(spent_today_usd)
        self.of("oracle_budget_usd").set(budget_usd)

    def releases(self, versions: Mapping[str, tuple[str, str]]) -> None:
        self.of("release_info").clear()
        for name, (version, sha256) in versions.items():
            self.of("release_info", name, version, sha256[:12]).set(1)

    def feed_poll(self, feed: str, outcome: str, failures_in_a_row: int) -> None:
        self.of("feed_polls", outcome).inc()
        self.of("feed_failures", feed).set(failures_in_a_row)

    def feed_entries(self, outcome: str, count: int = 1) -> None:
        self.of("feed_entries", outcome).inc(count)


@dataclass(frozen=True)
class _PrometheusStage:
    recorder: PrometheusRecorder
    name: str

    @contextmanager
    def model(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.recorder.of("model_seconds", self.name).inc(time.perf_counter() - started)

    def rejected(self, reasons: Iterable[str]) -> None:
        for reason, count in Counter(reasons).items():
            self.recorder.of("rejections", reason).inc(count)

    def scored(self, records: Sequence[Scored]) -> None:
        verdicts: Counter[tuple[str, str, str]] = Counter()
        gates: Counter[tuple[str, str]] = Counter()
        percentiles: dict[str, list[float]] = {}
        for record in records:
            for name, result in record.filters.items():
                verdicts[name, result.tier, result.stage] += 1
                gates[name, "closed" if result.stage == "probe" else "open"] += 1
                if result.percentile is not None:
                    percentiles.setdefault(name, []).append(result.percentile)
        for labels, count in verdicts.items():
            self.recorder.of("verdicts", *labels).inc(count)
        for gate, count in gates.items():
            self.recorder.of("gate", *gate).inc(count)
        for name, values in percentiles.items():
            self.recorder.drift(name, values)

    def lag(self, topic: str, records: Mapping[int, int | None]) -> None:
        for partition, waiting in records.items():
            labels = self.name, topic, str(partition)
            if waiting is None:
                self.recorder.of("lag_records").remove(*labels)
            else:
                self.recorder.of("lag_records", *labels).set(waiting)


@contextmanager
def open_recorder(settings: Settings) -> Iterator[Recorder]:
    """The process's recorder; with a metrics port, its HTTP endpoint lives as long as the block."""
    if not settings.metrics_port:
        yield SilentRecorder()
        return
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(settings.metrics_port, addr=settings.metrics_host, registry=registry)
    except OSError as error:
        raise SettingsError(
            f"Metrics cannot listen on {settings.metrics_host}:{settings.metrics_port}: {error.strerror}.",
            action="Set STILLHOUSE_METRICS_PORT to a free port, one per process, or 0 to turn metrics off.",
        ) from None
    try:
        yield PrometheusRecorder(registry)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
