"""The board's pages and feeds. Each handler reads its parameters, asks the history in a worker thread, renders."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from consumers.board import feeds_out
from consumers.board.catalogue import Catalogue, humanise
from consumers.board.explain import explain
from consumers.board.flow import Flow, snapshot
from consumers.board.follower import Follower
from consumers.board.gauge import Gauge
from consumers.board.live import MAX_STREAMS, NEWS_PER_TICK, EventStream, Hub, Subscriber, last_seen
from consumers.board.quality import MEANING, MIN_LABELS, LiveQuality
from consumers.board.queries import PAGE, History, Item, Selection
from consumers.board.views import BadRequest, View, cursor_of, number_of
from core import asyncapi, schemas
from core.errors import StillhouseError
from core.scoring import LOWEST_TIER
from core.settings import Settings

T = TypeVar("T")

FLOW_TTL_SEC = 2.0
FORMATS = ("atom", "json")
RANGES = {"error": (0, 2), "gate": (0, 1), "found": (0, 1), "top found": (0, 1)}


class NotFound(StillhouseError):
    """No such filter, article or page."""


@dataclass
class Pages:
    """All handlers with what they read. Queries run in `workers`, few enough to leave the stages their cores."""

    settings: Settings
    history: History
    catalogue: Catalogue
    templates: Environment
    follower: Follower
    gauge: Gauge
    hub: Hub = field(init=False)
    quality: LiveQuality = field(init=False)
    workers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(3, "board"))
    _flow: tuple[float, Flow] | None = None
    _flow_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.quality = LiveQuality(self.history, self.catalogue)
        self.hub = Hub(self.news, lambda: self.follower.connected)

    async def work(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.workers, function, *arguments)

    async def articles(self, request: Request) -> Response:
        view, before = View.from_params(request.query_params), cursor_of(request.query_params)
        return HTMLResponse(await self.work(self._list, view, before))

    async def article(self, request: Request) -> Response:
        return HTMLResponse(await self.work(self._article, request.query_params.get("id") or ""))

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
        feeds = await self.work(self._feeds, str(request.base_url))
        return HTMLResponse(self._page("subscribe.html", "subscribe", feeds=feeds, schemas=sorted(schemas.SCHEMAS)))

    async def feed(self, request: Request) -> Response:
        name, kind = request.path_params["name"], request.path_params["kind"]
        view = View.from_params({**request.query_params, "filter": name, "show": "all"})
        limit = number_of(request.query_params, "limit", PAGE, feeds_out.MAX_ENTRIES)
        if kind not in FORMATS:
            raise NotFound(f"There is no feed in the format {kind[:20]!r}.", action="Use .atom or .json.")
        feed = await self.work(self._feed, view, limit, str(request.base_url), str(request.url))
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
            selection = replace(self._selection(view), newer_than=after, limit=NEWS_PER_TICK)
            items = self.history.select(selection)
            template = self.templates.get_template("_items.html")
            return [(item.seq, template.render(items=[item], view=view)) for item in items]

        return await self.work(find)

    def error(self, status: int, error: StillhouseError) -> Response:
        heading = {400: "That cannot be shown", 404: "Not found"}.get(status, "Not now")
        page = self._page("error.html", "", heading=heading, message=error.message, action=error.action)
        return HTMLResponse(page, status, headers={"Retry-After": "5"} if status == 503 else None)

    def _page(self, template: str, here: str, **values: Any) -> str:
        return self.templates.get_template(template).render(here=here, **values)

    def _versions(self, tallies: Mapping[str, Any]) -> dict[str, str]:
        """Filters that have a page, with the version whose tiers apply: active ones, and those with history."""
        announced = {row["name"]: row["version"] for row in self.history.announced()}
        return dict.fromkeys(tallies, "") | dict(self.catalogue.active()) | announced

    def _selection(self, view: View) -> Selection:
        if not view.filter:
            return Selection(view)
        versions = self._versions(self.history.tallies())
        if view.filter not in versions:
            raise NotFound(f"No filter is named {view.filter!r}.", action="Choose one from the list of articles.")
        tiers = self.catalogue.at_least(view.filter, versions[view.filter], view.tier) if view.tier else ()
        return Selection(view, tiers)

    def _list(self, view: View, before: Any) -> str:
        seq = self.history.newest_seq()
        selection = replace(self._selection(view), before=before, limit=PAGE + 1)
        found = self.history.select(selection)
        items, more = found[:PAGE], len(found) > PAGE
        tallies = self.history.tallies()
        versions = self._versions(tallies)
        spec = self.catalogue.spec(view.filter, versions.get(view.filter, "")) if view.filter else None
        kept = {"show": view.show if view.show != "all" else "", "filter": view.filter, "tier": view.tier,
                "language": view.language, "reason": view.reason}  # fmt: skip
        older = view.url()
        return self._page(
            "list.html",
            "articles",
            view=view,
            items=items,
            before=before,
            seq=seq,
            kept=kept,
            heading=_heading(view),
            description=spec.description if spec else "",
            navigation=_navigation(self.catalogue, view, tallies, versions),
            choices=self._choices(view, versions),
            languages=self.history.counts("language", "rejected" if view.show == "rejected" else "scored"),
            connected=self.follower.connected,
            feed_url=lambda kind: View(tier=view.tier, language=view.language).url(f"/feeds/{view.filter}.{kind}"),
            older=f"{older}{'&' if '?' in older else '?'}before={items[-1].cursor}" if more else "",
        )

    def _choices(self, view: View, versions: Mapping[str, str]) -> list[dict[str, Any]]:
        """Links that narrow the list: tiers of a filter, or reasons of rejection."""

        def choice(label: str, **changes: str) -> dict[str, Any]:
            return {"label": label, "url": view.url(**changes), "current": replace(view, **changes) == view}  # type: ignore[arg-type]

        if view.show == "rejected":
            reasons = self.history.counts("reason", "rejected")
            return [choice("All", reason=""), *(choice(humanise(r), reason=r) for r in reasons)] if reasons else []
        if not view.filter:
            return []
        labels = self._tier_labels(view.filter, versions[view.filter])
        return [choice("All", tier=""), *(choice(label, tier=t) for t, label in reversed(labels))]

    def _article(self, article_id: str) -> str:
        item: Item | None = self.history.article(article_id)
        if item is None:
            raise NotFound(
                "This article is not in the history.",
                action="It may be older than what the board keeps, or not scored yet.",
            )
        explanations = explain(self.catalogue, item, self.history.labels(item.id))
        return self._page("article.html", "", item=item, explanations=explanations)

    def _feed(self, view: View, limit: int, base: str, address: str) -> feeds_out.Feed:
        items = self.history.select(replace(self._selection(view), limit=limit))
        entries = []
        for item in items:
            only = replace(item, filters={view.filter: item.filters[view.filter]})
            entries.append((item, explain(self.catalogue, only, {})[0]))
        tier = f", {view.tier} and up" if view.tier else ""
        return feeds_out.Feed(
            title=f"{humanise(view.filter)}{tier}" + (f" ({view.language})" if view.language else ""),
            subtitle=entries[0][1].description if entries else "Articles scored by Stillhouse",
            home=base.rstrip("/") + view.url(),
            address=address,
            entries=entries,
        )

    def _feeds(self, base: str) -> list[dict[str, Any]]:
        """Addresses for the page `Subscribe`: per filter, its tiers from the lowest up and then everything."""
        found = []
        for name, version in sorted(self._versions(self.history.tallies()).items()):
            tiers = [(label, View(tier=tier)) for tier, label in reversed(self._tier_labels(name, version))]
            rows = [
                {"label": label, **{kind: base.rstrip("/") + view.url(f"/feeds/{name}.{kind}") for kind in FORMATS}}
                for label, view in (*tiers, ("All", View()))
            ]
            found.append({"label": humanise(name), "tiers": rows})
        return found

    def _tier_labels(self, name: str, version: str) -> list[tuple[str, str]]:
        """Tiers from the highest down, each with what choosing it means."""
        tiers = self.catalogue.tiers(name, version)
        return [(tier, humanise(tier) + (" and up" if index else "")) for index, tier in enumerate(tiers)]


def _heading(view: View) -> str:
    if view.show == "rejected":
        return "Rejected"
    if view.filter:
        return humanise(view.filter)
    return "Notable" if view.show == "notable" else "All articles"


def _navigation(
    catalogue: Catalogue, view: View, tallies: Mapping[str, Mapping[str, int]], versions: Mapping[str, str]
) -> Sequence[dict[str, Any]]:
    kept = View(language=view.language, query=view.query)

    def entry(label: str, shown: View, count: int | None = None, *, rule: bool = False) -> dict[str, Any]:
        same = (shown.show, shown.filter) == (view.show, view.filter)
        return {"label": label, "url": shown.url(), "count": count, "current": same, "rule": rule}

    fixed = [
        entry("All articles", kept),
        entry("Notable", replace(kept, show="notable")),
        entry("Rejected", replace(kept, show="rejected"), rule=True),
    ]
    filters = []
    for name in sorted(versions):
        worth = catalogue.tiers(name, versions[name])[-1]
        reached = sum(count for tier, count in tallies.get(name, {}).items() if tier != LOWEST_TIER)
        filters.append(entry(humanise(name), replace(kept, filter=name, tier=worth), reached))
    return fixed + filters


STATUS: Mapping[type[StillhouseError], int] = {BadRequest: 400, NotFound: 404}
"""Any other error of ours is temporary: 503."""
