"""Fetches the page behind an entry, where the feed's own text is a teaser and the site allows it."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from producers.feeds.body import PAGE_LIMITS
from producers.feeds.entry import Entry
from producers.feeds.errors import FetchError
from producers.feeds.fetch import Fetcher
from producers.feeds.page import RawPage
from producers.feeds.robots import Robots
from producers.feeds.schedule import HostGate
from producers.feeds.subscriptions import Fulltext

PageOutcome = Literal["page", "not_wanted", "robots", "paused", "not_html", "paywall"] | str

TEASER_CHARS = 600
"""Feeds with whole articles seldom carry shorter ones; a short article costs one page too many, no more."""

_CUT_OFF = re.compile(r"(?:…|\.\.\.|\[\s*(?:…|&hellip;|\.\.\.)\s*\]|read more|continue reading|lees verder|weiterlesen|"
                      r"lire la suite|leer más|leggi tutto)\W*$", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """A page, or why there is none: `not_wanted`, `robots`, `paused`, `not_html` or the code of a FetchError."""

    outcome: str
    page: RawPage | None = None


@dataclass(frozen=True)
class PageReader:
    fetcher: Fetcher
    robots: Robots | None
    gate: HostGate

    async def read(self, entry: Entry, fulltext: Fulltext) -> PageAnswer:
        """The page of `entry` under the feed's switch. A page that cannot be had is no reason to hold the entry."""
        if entry.link is None or not wants_page(entry, fulltext):
            return PageAnswer("not_wanted")
        if self.gate.paused(urlsplit(entry.link).hostname or ""):
            return PageAnswer("paused")
        try:
            if self.robots and not await self.robots.allow(entry.link):
                return PageAnswer("robots")
            document = await self.fetcher.get(entry.link, headers={"Accept": "text/html"}, limits=PAGE_LIMITS)
        except FetchError as error:
            if error.retry_after_sec:
                self.gate.pause(urlsplit(entry.link).hostname or "", error.retry_after_sec)
            return PageAnswer(error.outcome)
        content_type = document.headers.get("content-type", "")
        if "html" not in content_type.lower():
            return PageAnswer("not_html")
        return PageAnswer("page", RawPage(document.url, content_type, document.body))


def wants_page(entry: Entry, fulltext: Fulltext) -> bool:
    """True if the article's page is needed beside what the feed says."""
    if fulltext == "auto":
        return len(entry.text) < TEASER_CHARS or bool(_CUT_OFF.search(entry.text[-80:]))
    return fulltext == "always"
