"""The board as a web application, and its life: history, follower, live pages and server start and end together."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consumers.board.catalogue import Catalogue
from consumers.board.contents import NotFound
from consumers.board.follower import Follower
from consumers.board.gauge import Gauge
from consumers.board.history import HistoryWriter
from consumers.board.pages import STATUS, Pages
from consumers.board.queries import History
from consumers.board.rendering import FOLDER, environment
from consumers.recorder import Recorder, SilentRecorder
from core.errors import SettingsError, StillhouseError
from core.settings import Settings

log = logging.getLogger(__name__)

HISTORY_FILE = "board.sqlite"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_CONNECTIONS = 600
SHUTDOWN_SEC = 3
STALLED_MS = 30_000
"""A client that acknowledges nothing for this long loses its connection, and what was buffered for it is freed."""

# Everything comes from this server; no inline script or style, no frame, no form to elsewhere.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def create_board(settings: Settings, recorder: Recorder | None = None) -> Pages:
    """Everything the board consists of; the history file is opened, and made where it is missing."""
    path = settings.state / HISTORY_FILE
    writer = HistoryWriter(path, settings.board_history)
    catalogue = Catalogue(settings.filters)
    follower = Follower(settings, writer)
    gauge = Gauge(settings, recorder or SilentRecorder())
    pages = Pages(settings, History(path), catalogue, environment(catalogue), follower, gauge)
    follower.changed = pages.hub.notify
    return pages


def create_app(pages: Pages) -> Starlette:
    """The web application alone, without the tasks that feed it."""

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, StillhouseError)
        return pages.error(STATUS.get(type(error), 503), error)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return pages.error(error.status_code, NotFound(f"{error.detail}.", action="Begin at the list of articles."))

    async def broken(request: Request, error: Exception) -> Response:
        trouble = StillhouseError("The board failed on this request.", action="Its log says why.")
        return pages.error(500, trouble)

    return Starlette(
        routes=[
            Route("/", pages.articles),
            Route("/article", pages.article),
            Route("/events", pages.events),
            Route("/flow", pages.flow),
            Route("/subscribe", pages.subscribe),
            Route("/feeds/{name}.{kind}", pages.feed),
            Route("/schemas/{topic}.json", pages.schema),
            Route("/asyncapi.json", pages.asyncapi),
            Route("/health", pages.health),
            Mount("/static", StaticFiles(directory=FOLDER / "static")),
        ],
        middleware=[*_host_check(pages.settings), Middleware(SecurityHeaders)],
        exception_handlers={StillhouseError: failed, HTTPException: refused, Exception: broken},
    )


async def serve(
    settings: Settings, recorder: Recorder | None = None, started: Callable[[str], None] = lambda address: None
) -> None:
    """Serve the board until cancelled; `started` is called with its address once it listens.

    Raises:
        SettingsError: the port is taken.
    """
    listener = _listen(settings)
    pages = create_board(settings, recorder)
    config = uvicorn.Config(
        create_app(pages),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_SEC,
        h11_max_incomplete_event_size=16_384,
    )
    server = _Server(config)
    tasks = [
        asyncio.create_task(coroutine, name=f"board {name}")
        for name, coroutine in (
            ("server", server.serve(sockets=[listener])),
            ("follower", pages.follower.run()),
            ("hub", pages.hub.run()),
            ("gauge", pages.gauge.run()),
        )
    ]
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    log.info("Board at %s", address)
    started(address)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        pages.hub.close()
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(tasks[0]), SHUTDOWN_SEC + 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        pages.workers.shutdown(wait=False, cancel_futures=True)


class SecurityHeaders:
    """Adds the security headers to every response; pages are never kept by caches, static files are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                versioned = scope["path"].startswith("/static/") and b"v=" in scope["query_string"]
                headers.setdefault("cache-control", "max-age=31536000, immutable" if versioned else "no-cache")
            await send(message)

        await self._app(scope, receive, secured if scope["type"] == "http" else send)


class _Server(uvicorn.Server):
    """Leaves signals to the process that the board is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _host_check(settings: Settings) -> list[Middleware]:
    """On loopback only this machine's names are answered: a web page elsewhere cannot rebind its own to us."""
    if settings.board_host not in LOOPBACK:
        return []
    return [Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK), www_redirect=False)]


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.board_host, settings.board_port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        option: Any = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, STALLED_MS)
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        raise SettingsError(
            f"The board cannot listen on {host}:{port}: {error.strerror}.",
            action="Set STILLHOUSE_BOARD_PORT to a free port, or 0 for any.",
        ) from None
    return listener
