import asyncio
import subprocess
import sys
from collections.abc import Sequence

import pytest
from faststream.kafka import KafkaBroker, TestKafkaBroker
from faststream.kafka.opentelemetry import KafkaTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from consumers.tracing import open_tracing, tracer_provider
from core.settings import Settings


class Collector(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


def test_off_is_no_middleware_and_loads_nothing():

    code = (
        "import sys; from consumers.tracing import open_tracing; from core.settings import Settings\n"
        "with open_tracing(Settings(), 'score') as middlewares: assert middlewares == ()\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://127.0.0.1:9/v1/traces"])
def test_an_absent_collector_does_not_hold_up_the_end(endpoint: str):
    with open_tracing(Settings(otlp_endpoint=endpoint), "score") as (middleware,):
        assert isinstance(middleware, KafkaTelemetryMiddleware)


async def test_one_trace_follows_a_record_over_two_stages():
    collector = Collector()
    provider = tracer_provider("test", collector)
    broker = KafkaBroker(middlewares=(KafkaTelemetryMiddleware(tracer_provider=provider),))

    @broker.subscriber("first")
    @broker.publisher("second")
    async def relay(body: str) -> str:
        return body

    @broker.subscriber("second")
    async def end(body: str) -> None: ...

    async with TestKafkaBroker(broker):
        await broker.publish("hello", "first")
    await asyncio.to_thread(provider.force_flush)
    provider.shutdown()
    assert len(collector.spans) >= 4
    assert len({span.context.trace_id for span in collector.spans}) == 1
    assert {span.resource.attributes["service.namespace"] for span in collector.spans} == {"stillhouse"}
