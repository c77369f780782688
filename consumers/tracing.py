"""OpenTelemetry traces through FastStream's own middleware: off unless STILLHOUSE_OTLP_ENDPOINT is set.

The context travels in Kafka headers (`traceparent`), so one trace follows an article through all stages.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from core.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)
FLUSH_TIMEOUT_MS = 3_000


def tracer_provider(service: str, exporter: "SpanExporter") -> "TracerProvider":
    """A provider that exports in batches from a thread of its own."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.namespace": "stillhouse"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


@contextmanager
def open_tracing(settings: Settings, service: str) -> Iterator[tuple[Any, ...]]:
    """Middlewares for a KafkaBroker: none while tracing is off; spans are flushed when the block ends."""
    if not settings.otlp_endpoint:
        yield ()
        return
    from faststream.kafka.opentelemetry import KafkaTelemetryMiddleware
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    endpoint = settings.otlp_endpoint.rstrip("/")
    if not endpoint.endswith("/v1/traces"):
        endpoint += "/v1/traces"
    provider = tracer_provider(service, OTLPSpanExporter(endpoint=endpoint, timeout=5))
    log.info("Traces of %s go to %s", service, endpoint)
    try:
        yield (KafkaTelemetryMiddleware(tracer_provider=provider),)
    finally:
        provider.force_flush(FLUSH_TIMEOUT_MS)
        provider.shutdown()
