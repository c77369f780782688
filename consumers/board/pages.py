"""The board's pages and feeds. Each handler reads its parameters, asks the history in a worker thread, renders."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from consumers.board import feeds_out
from consumers.board.catalogue import Catalogue
from consumers.board.contents import FORMATS, Contents, NotFound
from consumers.board.flow import Flow, snapshot
from consumers.board.follower import Follower
from consumers.board.gauge import Gauge
from consumers.board.live import MAX_STREAMS, NEWS_PER_TICK, EventStream, Hub, Subscriber, last_seen
from consumers.board.quality import MEANING, MIN_LABELS, LiveQuality
from consumers.board.queries import PAGE, History
from consumers.board.views import BadRequest, View, cursor_of, number_of
from core import asyncapi, schemas
from core.errors import StillhouseError
from core.settings import Settings

T = TypeVar("T")

FLOW_TTL_SEC = 2.0
RANGES = {"error": (0, 2), "gate": (0, 1), "found": (0, 1), "top found": (0, 1)}


@dataclass
class Pages:
    """All handlers with what they read. Queries run in `workers`, few enough to leave the stages their cores."""

    settings: Settings
    history: History
    catalogue: Catalogue
    templates: Environment
    follower: Follower
    gauge: Gauge
    contents: Contents = field(init=False)
    hub: Hub = field(init=False)
    quality: LiveQuality = field(init=False)
    workers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(3, "board"))
    _flow: tuple[float, Flow] | None = None
    _flow_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.contents = Contents(self.history, self.catalogue)
        self.quality = LiveQuality(self.history, self.catalogue)
        self.hub = Hub(self.news, lambda: self.follower.connected)

    async def work(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.workers, function, *arguments)

    async def articles(self, request: Request) -> Response:
        view, before = View.from_params(request.query_params), cursor_of(request.query_params)
        state = {"connected": self.follower.connected}
        return await self._show("list.html", "articles", lambda: state | self.contents.page(view, before))

    async def article(self, request: Request) -> Response:
        article_id = request.query_params.get("id") or ""
        return await self._show("article.html", "", lambda: self.contents.article(article_id))

    async def events(self, request: Request) -> Response | EventStream:
        view = View.from_params(request.query_params)
        newest = await self.work(self.history.newest_seq)
        after = number_of(request.query_params, "after", newest, newest)
        if len(self.hub.subscribers) >= MAX_STREAMS:
            return Response("Too many live pages.", 503, headers={"Retry-After": "30"})
        return EventStream(self.hub, Subscriber(view, min(newest, last_seen(request, after))))

    async def flow(self, request: Request) -> Response:
        async with self._flow_lock:
            if self._flow is None or time.monotonic() - self._flow[0] > FLOW_TTL_SEC:
                flow = await self.work(snapshot, self.settings, self.gauge, self.quality)
                self._flow = (time.monotonic(), flow)
            flow = self._flow[1]
        page = self._page("flow.html", "flow", flow=flow, figures=MEANING, ranges=RANGES, min_labels=MIN_LABELS)
        return HTMLResponse(page)

    async def subscribe(self, request: Request) -> Response:
        feeds = await self.work(self.contents.feeds, str(request.base_url))
        return HTMLResponse(self._page("subscribe.html", "subscribe", feeds=feeds, schemas=sorted(schemas.SCHEMAS)))

    async def feed(self, request: Request) -> Response:
        name, kind = request.path_params["name"], request.path_params["kind"]
        view = View.from_params({**request.query_params, "filter": name, "show": "all"})
        limit = number_of(request.query_params, "limit", PAGE, feeds_out.MAX_ENTRIES)
        if kind not in FORMATS:
            raise NotFound(f"There is no feed in the format {kind[:20]!r}.", action="Use .atom or .json.")
        feed = await self.work(self.contents.feed, view, limit, str(request.base_url), str(request.url))
        body = await self.work(feeds_out.atom if kind == "atom" else feeds_out.json_feed, feed)
        media = "application/atom+xml" if kind == "atom" else "application/feed+json"
        return feeds_out.conditional(request, body, media, feed.updated_ms)

    async def schema(self, request: Request) -> Response:
        topic = request.path_params["topic"]
        if topic not in schemas.SCHEMAS:
            raise NotFound(f"No schema for {topic[:60]!r}.", action=f"There are {', '.join(schemas.SCHEMAS)}.")
        return JSONResponse(schemas.SCHEMAS[topic], media_type="application/schema+json")

    async def asyncapi(self, request: Request) -> Response:
        return JSONResponse(asyncapi.document())

    async def health(self, request: Request) -> Response:
        newest = await self.work(self.history.newest_seq)
        state = {"status": "ok", "kafka": self.follower.connected, "verdicts": newest, "skipped": self.follower.skipped,
                 "streams": len(self.hub.subscribers)}  # fmt: skip
        return JSONResponse(state)

    async def news(self, view: View, after: int) -> list[tuple[int, str]]:
        """Rendered articles for the live pages, each on its own, oldest first."""

        def find() -> list[tuple[int, str]]:
            selection = replace(self.contents.selection(view), newer_than=after, limit=NEWS_PER_TICK)
            items = self.history.select(selection)
            template = self.templates.get_template("_items.html")
            return [(item.seq, template.render(items=[item], view=view)) for item in items]

        return await self.work(find)

    def error(self, status: int, error: StillhouseError) -> Response:
        heading = {400: "That cannot be shown", 404: "Not found"}.get(status, "Not now")
        page = self._page("error.html", "", heading=heading, message=error.message, action=error.action)
        return HTMLResponse(page, status, headers={"Retry-After": "5"} if status == 503 else None)

    async def _show(self, template: str, here: str, read: Callable[[], Mapping[str, Any]]) -> Response:
        """Read and rendered in a worker thread: neither holds up the live pages."""
        return HTMLResponse(await self.work(lambda: self._page(template, here, **read())))

    def _page(self, template: str, here: str, **values: Any) -> str:
        return self.templates.get_template(template).render(here=here, **values)


STATUS: Mapping[type[StillhouseError], int] = {BadRequest: 400, NotFound: 404}
"""Any other error of ours is temporary: 503."""
