"""A web of feeds for tests: any document at any path, on any number of loopback hosts, with a log of the requests.

A route is a `Reply`, or a function that takes the connection over to behave as nobody should.
"""

import gzip
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread


@dataclass(frozen=True)
class Reply:
    body: bytes = b""
    content_type: str = "application/rss+xml"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    conditional: bool = True


@dataclass(frozen=True)
class Request:
    at: float
    host: str
    path: str
    if_none_match: str | None
    if_modified_since: str | None
    status: int


Route = Reply | Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: "FeedWeb"

    def do_GET(self):
        arrived = time.monotonic()
        route = self.web.routes.get(self.path, Reply(status=404, content_type="text/plain"))
        if isinstance(route, Reply) and self._unchanged(route):
            route = Reply(status=304, content_type=route.content_type, headers=route.headers)
        host = self.headers.get("Host", "").partition(":")[0]
        validators = (self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since"))
        status = route.status if isinstance(route, Reply) else 0
        with self.web.lock:
            self.web.log.append(Request(arrived, host, self.path, *validators, status))
        if isinstance(route, Reply):
            self.reply(route)
        else:
            self.close_connection = True
            route(self)

    def reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        if reply.conditional:
            self.send_header("ETag", _etag(reply))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def _unchanged(self, reply: Reply) -> bool:
        return reply.status == 200 and reply.conditional and self.headers.get("If-None-Match") == _etag(reply)

    def log_message(self, *_):
        pass


def _etag(reply: Reply) -> str:
    return f'"{hashlib.sha256(reply.body).hexdigest()[:16]}"'


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """Clients that hang up on hostile answers are the point of these tests."""


@dataclass
class FeedWeb:
    routes: dict[str, Route] = field(default_factory=dict)
    log: list[Request] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    closing: Event = field(default_factory=Event)
    port: int = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def put(self, path: str, route: Route, host: str = "127.0.0.1") -> str:
        self.routes[path] = route
        return self.url(path, host)

    def requests(self, path: str) -> list[Request]:
        return [request for request in self.log if request.path == path]


@contextmanager
def feed_web(hosts: tuple[str, ...] = ("127.0.0.1",), port: int = 0) -> Iterator[FeedWeb]:
    """Serve on the same port of every host (all of 127.0.0.0/8 is this machine)."""
    web = FeedWeb()
    handler = type("BoundHandler", (Handler,), {"web": web})
    servers = [_QuietServer((hosts[0], port), handler)]
    web.port = servers[0].server_address[1]
    servers += [_QuietServer((host, web.port), handler) for host in hosts[1:]]
    for server in servers:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield web
    finally:
        web.closing.set()
        for server in servers:
            server.shutdown()
            server.server_close()


def redirect(location: str, status: int = 302) -> Reply:
    return Reply(status=status, headers={"Location": location}, conditional=False)


def gzip_bomb(megabytes: int = 200) -> Reply:
    packed = gzip.compress(b"<rss>" + b" " * (megabytes << 20))
    return Reply(packed, headers={"Content-Encoding": "gzip"}, conditional=False)


def endless(handler: Handler) -> None:
    """Sends for ever, without saying how much."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/rss+xml")
    handler.send_header("Connection", "close")
    handler.end_headers()
    try:
        while not handler.web.closing.is_set():
            handler.wfile.write(b"<item><title>more</title></item>" * 2048)
    except OSError:
        return


def slow_bytes(handler: Handler) -> None:
    """A byte now and then: never idle long enough for a read timeout."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/rss+xml")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    try:
        while not handler.web.closing.wait(0.1):
            handler.wfile.write(b" ")
    except OSError:
        return


BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + b"".join(
        b'<!ENTITY lol%d "%s">' % (level, (b"&lol%d;" % (level - 1) if level > 1 else b"&lol;") * 10)
        for level in range(1, 10)
    )
    + b"]><rss version='2.0'><channel><title>&lol9;</title><item><title>&lol9;</title></item></channel></rss>"
)
