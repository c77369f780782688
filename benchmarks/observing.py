"""`bench stream --compare`: what metrics or traces cost, with and without them in turn."""

import multiprocessing
import socket
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from benchmarks.no_models import cascade_without_models
from benchmarks.stream import WARM_UP, StreamPlan, cascade_alone, forget, lines_of, through_stream
from core.article import Article
from core.settings import Settings
from models.registry import load_cascade

Compared = Literal["metrics", "tracing"]

_MANY = 2_000
_SCRAPE_SEC = 5.0
"""Three times as often as Prometheus does by default."""


def measure_cost(settings: Settings, plan: StreamPlan, compared: Compared) -> dict[str, Any]:
    """CPU per article that `compared` adds, and the share of the stream's own.

    Added CPU is measured with models that cost nothing, where it is not lost in their noise: the median over pairs of
    neighbouring rounds. The stream's own is measured with the real models.
    """
    plain = settings.model_copy(update={"metrics_port": 0, "otlp_endpoint": None})
    empty, many = cascade_without_models(settings), lines_of(_variants(plan.articles))
    added = []
    with _other_side() as port:
        for repeat in range(plan.repeats + 1):
            changes = _metrics(port) if compared == "metrics" else {"otlp_endpoint": f"http://127.0.0.1:{port}"}
            sides = [plain, plain.model_copy(update=changes)]
            if repeat % 2:  # the second of a pair runs on a warmer machine: take turns
                sides.reverse()
            cpu = {bool(s.metrics_port or s.otlp_endpoint): through_stream(s, empty, many).cpu_sec for s in sides}
            if repeat:  # the first pair loads modules
                added.append((cpu[True] - cpu[False]) / len(many) * 1e6)
    own_us = _with_models(plain, plan) * 1e6
    return {
        "compared": compared,
        "articles": len(many),
        "rounds": len(added),
        "added_us_per_article": {"median": round(statistics.median(added)), "low": round(min(added)),
                                 "high": round(max(added))},
        "stream_us_per_article": round(own_us),
        "cost": round(statistics.median(added) / own_us, 5),
        "cost_at_most": round(max(added) / own_us, 5),
    }  # fmt: skip


def _with_models(settings: Settings, plan: StreamPlan) -> float:
    """CPU seconds per article of the stream as it is."""
    cascade, lines = load_cascade(settings), lines_of(plan.articles)
    cascade_alone(cascade, lines[:WARM_UP], settings.batch)
    forget(cascade)
    return through_stream(settings, cascade, lines).cpu_sec / len(lines)


def _variants(articles: Sequence[Article]) -> list[Article]:
    """The articles again and again, each time as others: duplicates would be rejected."""
    rounds = range(-(-_MANY // len(articles)))
    return [replace(a, id=f"{a.id}-{n}", text=f"{n} {a.text}") for n in rounds for a in articles][:_MANY]


def _metrics(scraper: int) -> dict[str, Any]:
    """A free port for the endpoint, made known to the process that scrapes it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    request = urllib.request.Request(f"http://127.0.0.1:{scraper}/scrape", data=str(port).encode())
    urllib.request.urlopen(request, timeout=10).close()
    return {"metrics_port": port, "metrics_host": "127.0.0.1"}


@contextmanager
def _other_side() -> Iterator[int]:
    """A process that takes traces as a collector does, and scrapes metrics as Prometheus does; yields its port."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender.send,), daemon=True)
    process.start()
    try:
        yield int(receiver.recv())
    finally:
        process.terminate()
        process.join(10)


def _serve(started: Callable[[int], None]) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    started(server.server_address[1])
    threading.Thread(target=_scrape, daemon=True).start()
    server.serve_forever()


def _scrape() -> None:
    while True:
        time.sleep(_SCRAPE_SEC)
        if _Collector.scraped:
            with suppress(OSError):  # between two rounds nobody answers there
                urllib.request.urlopen(f"http://127.0.0.1:{_Collector.scraped}/metrics", timeout=5).read()


class _Collector(BaseHTTPRequestHandler):
    scraped = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/scrape":
            _Collector.scraped = int(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet: the benchmark has the terminal."""
