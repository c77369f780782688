"""A local site with feeds of every format and an article page each, from given articles: `stillhouse demo --board`."""

import hashlib
import html
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from core.article import Article
from producers.feeds.render import CONTENT_TYPES, FORMATS, render
from producers.feeds.subscriptions import Politeness, Subscription, Subscriptions


@contextmanager
def sample_feeds(articles: Sequence[Article], port: int = 0) -> Iterator[Subscriptions]:
    """Serve `articles`, spread over one feed per format, on 127.0.0.1; yields the list to read them with.

    Reading it needs STILLHOUSE_FEEDS_ALLOW_PRIVATE=1.
    """
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    site = f"http://127.0.0.1:{server.server_address[1]}"
    pages, feeds = _site(site, articles)
    server.documents = pages | feeds  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield Subscriptions(
            feeds=tuple(Subscription(url=site + path, every_min=1) for path in feeds),
            politeness=Politeness(host_delay_sec=0.0, host_concurrency=4),
        )
    finally:
        server.shutdown()
        server.server_close()


Documents = dict[str, tuple[str, bytes]]


def _site(site: str, articles: Sequence[Article]) -> tuple[Documents, Documents]:
    """Pages and feeds, as path -> (content type, body)."""
    placed = [replace(article, url=f"{site}/stories/{article.id}") for article in articles]
    pages = {f"/stories/{article.id}": ("text/html; charset=utf-8", _page(article)) for article in placed}
    feeds = {
        f"/{form}": (CONTENT_TYPES[form], render(form, f"Sample feed ({form})", site, placed[number :: len(FORMATS)]))
        for number, form in enumerate(FORMATS)
    }
    return pages, feeds


def _page(article: Article) -> bytes:
    paragraphs = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in article.text.split("\n\n"))
    title = html.escape(article.title)
    return (
        f"<!doctype html><html><head><title>{title}</title></head>"
        f"<body><article><h1>{title}</h1>{paragraphs}</article></body></html>"
    ).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        documents: Documents = self.server.documents  # type: ignore[attr-defined]
        content_type, body = documents.get(self.path, ("text/plain", b""))
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.path not in documents:
            status = HTTPStatus.NOT_FOUND
        elif self.headers.get("If-None-Match") == etag:
            status, body = HTTPStatus.NOT_MODIFIED, b""
        else:
            status = HTTPStatus.OK
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: the demonstration has the terminal."""
