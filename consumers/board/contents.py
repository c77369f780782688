"""What the pages and feeds show: the history read for one view, as values for the templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from consumers.board import feeds_out
from consumers.board.catalogue import Catalogue, humanise
from consumers.board.explain import explain
from consumers.board.queries import PAGE, History, Item, Selection
from consumers.board.views import Cursor, View
from core.errors import StillhouseError
from core.scoring import LOWEST_TIER

FORMATS = ("atom", "json")


class NotFound(StillhouseError):
    """No such filter, article or page."""


@dataclass(frozen=True)
class Contents:
    """Reads the history; slow enough to be called in a worker thread."""

    history: History
    catalogue: Catalogue

    def page(self, view: View, before: Cursor | None) -> dict[str, Any]:
        """One page of the list; `seq` is the last verdict that it may have."""
        seq = self.history.newest_seq()
        selection = replace(self.selection(view), before=before, limit=PAGE + 1)
        found = self.history.select(selection)
        items, more = found[:PAGE], len(found) > PAGE
        tallies = self.history.tallies()
        versions = self.versions(tallies)
        spec = self.catalogue.spec(view.filter, versions.get(view.filter, "")) if view.filter else None
        kept = {"show": view.show if view.show != "all" else "", "filter": view.filter, "tier": view.tier,
                "language": view.language, "reason": view.reason}  # fmt: skip
        older = view.url()
        return {
            "view": view,
            "items": items,
            "before": before,
            "seq": seq,
            "kept": kept,
            "heading": _heading(view),
            "description": spec.description if spec else "",
            "navigation": _navigation(self.catalogue, view, tallies, versions),
            "choices": self._choices(view, versions),
            "languages": self.history.counts("language", "rejected" if view.show == "rejected" else "scored"),
            "feed_url": lambda kind: View(tier=view.tier, language=view.language).url(f"/feeds/{view.filter}.{kind}"),
            "older": f"{older}{'&' if '?' in older else '?'}before={items[-1].cursor}" if more else "",
        }

    def article(self, article_id: str) -> dict[str, Any]:
        item: Item | None = self.history.article(article_id)
        if item is None:
            raise NotFound(
                "This article is not in the history.",
                action="It may be older than what the board keeps, or not scored yet.",
            )
        explanations = explain(self.catalogue, item, self.history.labels(item.id))
        return {"item": item, "explanations": explanations}

    def feed(self, view: View, limit: int, base: str, address: str) -> feeds_out.Feed:
        items = self.history.select(replace(self.selection(view), limit=limit))
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

    def feeds(self, base: str) -> list[dict[str, Any]]:
        """Addresses for the page `Subscribe`: per filter, its tiers from the lowest up and then everything."""
        found = []
        for name, version in sorted(self.versions(self.history.tallies()).items()):
            tiers = [(label, View(tier=tier)) for tier, label in reversed(self._tier_labels(name, version))]
            rows = [
                {"label": label, **{kind: base.rstrip("/") + view.url(f"/feeds/{name}.{kind}") for kind in FORMATS}}
                for label, view in (*tiers, ("All", View()))
            ]
            found.append({"label": humanise(name), "tiers": rows})
        return found

    def versions(self, tallies: Mapping[str, Any]) -> dict[str, str]:
        """Filters that have a page, with the version whose tiers apply: active ones, and those with history."""
        announced = {row["name"]: row["version"] for row in self.history.announced()}
        return dict.fromkeys(tallies, "") | dict(self.catalogue.active()) | announced

    def selection(self, view: View) -> Selection:
        if not view.filter:
            return Selection(view)
        versions = self.versions(self.history.tallies())
        if view.filter not in versions:
            raise NotFound(f"No filter is named {view.filter!r}.", action="Choose one from the list of articles.")
        tiers = self.catalogue.at_least(view.filter, versions[view.filter], view.tier) if view.tier else ()
        return Selection(view, tiers)

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
