"""One trace follows an article from articles.raw through every stage, on a real broker."""

import asyncio
import contextlib
from collections import defaultdict

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consumers import runtime
from consumers.records import Message
from consumers.tracing import tracing_with
from core.topics import DEAD, GATED, ORACLE_LABELS, ORACLE_REQUESTS, RAW, SCORED
from tests.chaos.worker import SlowOracle
from tests.support.fakes import fake_loader, write_filters
from tests.support.kafka import article, await_outcomes, lag, publish, read

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode()),)
STAGES = ("screen", "score", "oracle", "labels")


async def test_one_trace_from_raw_to_label(embedded, tmp_path, monkeypatch):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def oracle(settings, recorder=None):
        return SlowOracle()

    monkeypatch.setattr(
        runtime, "open_tracing", lambda settings, service: contextlib.nullcontext(tracing_with(provider))
    )
    monkeypatch.setattr(runtime, "open_oracle", oracle)
    settings = embedded.model_copy(update={"filters": (write_filters(tmp_path),)})
    articles = [article(f"a{i}") for i in range(40)]  # of 40 some are scored, and the oracle is asked about some
    traced = [message._replace(headers=TRACED) for message in articles[:20]]
    bad = Message(RAW, b"bad", b"{no json", TRACED)
    async with runtime.open_stream(settings, STAGES, fake_loader(settings), lanes=1):
        await publish(settings, [*traced, *articles[20:], bad])
        await await_outcomes(settings, {message.key for message in [*articles, bad]})
        while any((await lag(settings, STAGES)).values()):
            await asyncio.sleep(0.2)

    spans = [span for span in exporter.get_finished_spans() if span.name in STAGES]
    by_id = {span.context.span_id: span for span in spans}
    by_key = defaultdict(set)
    for span in spans:
        by_key[span.attributes["messaging.kafka.message.key"]].add((span.name, f"{span.context.trace_id:032x}"))
    assert {trace for message in traced for _, trace in by_key[message.key.decode()]} == {TRACE}
    own = {frozenset(trace for _, trace in by_key[message.key.decode()]) for message in articles[20:]}
    assert all(len(traces) == 1 for traces in own), "each article that came without a trace has one of its own"
    assert len(own) == 20
    assert any({name for name, _ in found} == set(STAGES) for found in by_key.values()), "from raw to label"

    for record in await read(settings, GATED, SCORED, ORACLE_REQUESTS, ORACLE_LABELS):
        _, trace, span, _ = record.header("traceparent").decode().split("-")
        maker = by_id[int(span, 16)]
        assert maker.attributes["messaging.kafka.message.key"].encode() == record.key
        assert f"{maker.context.trace_id:032x}" == trace
    (letter,) = await read(settings, DEAD)
    assert letter.header("original.traceparent") == TRACED[0][1]
    batches = {span.context.span_id for span in exporter.get_finished_spans()} - by_id.keys()
    assert all({link.context.span_id for link in span.links} <= batches and span.links for span in spans)
