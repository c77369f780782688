"""OpenTelemetry traces: off unless STILLHOUSE_OTLP_ENDPOINT is set.

The context travels in Kafka headers (`traceparent`), so one trace follows an article from articles.raw through all
stages. FastStream's middleware makes the span of a batch; here each of its records gets a span in its own trace, linked
to the batch's, and what is made of the record carries that span's context on.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from consumers.records import Headers, Record
from core.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

FLUSH_TIMEOUT_MS = 3_000
_QUEUED_SPANS = 16_384
"""Some batches of all lanes: what overflows between two exports is dropped."""

_CONTEXT = ("traceparent", "tracestate")


class Traces(Protocol):
    """The traces of one batch's records, by index."""

    def headers(self, index: int) -> Headers:
        """Trace context for everything that is made of the record."""

    def refused(self, index: int, reason: str) -> None:
        """The record became a dead letter."""


class Tracer(Protocol):
    """Traces batches."""

    def batch(self, stage: str, records: Sequence[Record]) -> AbstractContextManager[Traces]: ...


@dataclass(frozen=True)
class _CarriedTraces:
    records: Sequence[Record]

    def headers(self, index: int) -> Headers:
        return tuple([header for header in self.records[index].headers if header[0] in _CONTEXT])

    def refused(self, index: int, reason: str) -> None: ...


class NoTracer:
    """Tracing is off: context that others made is carried on as it came."""

    def batch(self, stage: str, records: Sequence[Record]) -> AbstractContextManager[Traces]:
        return nullcontext(_CarriedTraces(records))


@dataclass(frozen=True)
class _SpanTraces:
    spans: "list[tuple[Span, Context]]"

    def headers(self, index: int) -> Headers:
        from opentelemetry import propagate

        carrier: dict[str, str] = {}
        propagate.inject(carrier, self.spans[index][1])
        return tuple((name, value.encode()) for name, value in carrier.items())

    def refused(self, index: int, reason: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self.spans[index][0].set_status(Status(StatusCode.ERROR, reason))


class SpanTracer:
    """A span per record, for as long as its batch is in hand."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._tracer = provider.get_tracer("stillhouse")

    @contextmanager
    def batch(self, stage: str, records: Sequence[Record]) -> Iterator[Traces]:
        from opentelemetry import trace

        around = trace.get_current_span().get_span_context()
        links = [trace.Link(around)] if around.is_valid else []
        spans = [self._start(stage, record, links) for record in records]
        try:
            yield _SpanTraces(spans)
        except BaseException as error:
            for span, _ in spans:
                span.record_exception(error)
            raise
        finally:
            for span, _ in spans:
                span.end()

    def _start(self, stage: str, record: Record, links: Sequence[Any]) -> "tuple[Span, Context]":
        from opentelemetry import propagate, trace

        carrier = {name: value.decode("ascii", "replace") for name, value in record.headers if value is not None}
        parent = propagate.extract(carrier)
        attributes: dict[str, Any] = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.kafka.message.key": (record.key or b"").decode("utf-8", "replace"),
        }
        kind = trace.SpanKind.CONSUMER
        span = self._tracer.start_span(stage, context=parent, kind=kind, attributes=attributes, links=links)
        return span, trace.set_span_in_context(span, parent)


@dataclass(frozen=True)
class Tracing:
    """How a process traces: middlewares for its KafkaBroker, and the tracer of the delivery frame."""

    middlewares: tuple[Any, ...] = ()
    tracer: Tracer = field(default_factory=NoTracer)


def tracer_provider(service: str, exporter: "SpanExporter") -> "TracerProvider":
    """A provider that exports in batches from a thread of its own."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.namespace": "stillhouse"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUED_SPANS))
    return provider


def tracing_with(provider: "TracerProvider") -> Tracing:
    from faststream.kafka.opentelemetry import KafkaTelemetryMiddleware

    return Tracing((KafkaTelemetryMiddleware(tracer_provider=provider),), SpanTracer(provider))


@contextmanager
def open_tracing(settings: Settings, service: str) -> Iterator[Tracing]:
    """Nothing while tracing is off; spans are flushed when the block ends."""
    if not settings.otlp_endpoint:
        yield Tracing()
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    endpoint = settings.otlp_endpoint.rstrip("/")
    if not endpoint.endswith("/v1/traces"):
        endpoint += "/v1/traces"
    provider = tracer_provider(service, OTLPSpanExporter(endpoint=endpoint, timeout=5))
    log.info("Traces of %s go to %s", service, endpoint)
    try:
        yield tracing_with(provider)
    finally:
        provider.force_flush(FLUSH_TIMEOUT_MS)
        provider.shutdown()
