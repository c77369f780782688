"""Traces of the delivery frame: a span per record in the record's own trace, and its context on what is made of it."""

import subprocess
import sys

import pytest
from faststream.kafka.opentelemetry import KafkaTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from consumers.records import Record
from consumers.tracing import NoTracer, SpanTracer, open_tracing
from core.settings import Settings

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


def record(*headers) -> Record:
    return Record("articles.raw", 3, 17, 0, b"key", b"{}", headers)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter) -> SpanTracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return SpanTracer(provider)


def test_off_is_no_middleware_and_loads_nothing():
    code = (
        "import sys; from consumers.tracing import open_tracing; from core.settings import Settings\n"
        "with open_tracing(Settings(), 'score') as tracing: assert tracing.middlewares == ()\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_off_carries_the_context_of_others_as_it_came():
    headers = (("traceparent", PARENT), ("other", b"x"), ("tracestate", b"a=b"))
    with NoTracer().batch("screen", [record(*headers), record()]) as traces:
        assert traces.headers(0) == (("traceparent", PARENT), ("tracestate", b"a=b"))
        assert traces.headers(1) == ()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://127.0.0.1:9/v1/traces"])
def test_an_absent_collector_does_not_hold_up_the_end(endpoint):
    with open_tracing(Settings(otlp_endpoint=endpoint), "score") as tracing:
        (middleware,) = tracing.middlewares
        assert isinstance(middleware, KafkaTelemetryMiddleware)
        with tracing.tracer.batch("score", [record()]) as traces:
            assert traces.headers(0)


def test_a_record_continues_its_trace(tracer, exporter):
    with tracer.batch("screen", [record(("traceparent", PARENT), ("tracestate", b"a=b"))]) as traces:
        made = dict(traces.headers(0))
    (span,) = exporter.get_finished_spans()
    assert (span.name, f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == ("screen", TRACE, SPAN)
    assert made["traceparent"].decode() == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert made["tracestate"] == b"a=b"
    assert (span.attributes["messaging.destination.name"], span.attributes["messaging.kafka.offset"]) == (
        "articles.raw",
        17,
    )


@pytest.mark.parametrize(
    "headers",
    [(), (("traceparent", b"\xff\xfe"),), (("traceparent", None),), (("traceparent", b"00-zz-1-01"),)],
    ids=["none", "not-text", "null", "malformed"],
)
def test_a_record_without_a_usable_context_begins_a_trace(tracer, exporter, headers):
    with tracer.batch("screen", [record(*headers), record(*headers)]) as traces:
        first, second = (dict(traces.headers(index))["traceparent"] for index in (0, 1))
    assert first.split(b"-")[1] != second.split(b"-")[1]
    assert all(span.parent is None for span in exporter.get_finished_spans())


def test_a_dead_letter_is_an_error_and_its_neighbour_is_not(tracer, exporter):
    with tracer.batch("screen", [record(), record()]) as traces:
        traces.refused(1, "not_json")
    good, bad = exporter.get_finished_spans()
    assert good.status.status_code is StatusCode.UNSET
    assert (bad.status.status_code, bad.status.description) == (StatusCode.ERROR, "not_json")


def test_a_batch_that_is_rewound_says_why(tracer, exporter):
    with pytest.raises(OSError, match="disk"), tracer.batch("screen", [record()]):
        raise OSError("disk")
    (span,) = exporter.get_finished_spans()
    assert [event.attributes["exception.message"] for event in span.events] == ["disk"]
