"""robots.txt, asked once a day per site before article pages are fetched."""

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from producers.feeds.body import Limits
from producers.feeds.errors import FetchError
from producers.feeds.fetch import USER_AGENT, Fetcher
from producers.feeds.schedule import HostGate

_LIMITS = Limits(wire_bytes=512 << 10, decoded_bytes=512 << 10, total_sec=15.0)  # RFC 9309: read at least 500 KiB
_FRESH_SEC = 86_400.0
_RETRY_SEC = 1_800.0
_MAX_CRAWL_DELAY_SEC = 60.0
_REMEMBERED_SITES = 2_000
_AGENT = USER_AGENT.partition("/")[0]


@dataclass
class Robots:
    """Rules by site. RFC 9309: no file (4xx) allows everything, a server in trouble (5xx, away) forbids for now."""

    fetcher: Fetcher
    gate: HostGate
    _sites: OrderedDict[str, tuple[float, RobotFileParser]] = field(default_factory=OrderedDict)

    async def allow(self, url: str) -> bool:
        """True if the page may be FETCHED."""
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        rules = await self._rules(site)
        if delay := rules.crawl_delay(_AGENT):
            self.gate.slow_down(parts.hostname or "", min(float(delay), _MAX_CRAWL_DELAY_SEC))
        return rules.can_fetch(_AGENT, url)

    async def _rules(self, site: str) -> RobotFileParser:
        fresh_until, rules = self._sites.get(site, (0.0, RobotFileParser()))
        if time.monotonic() < fresh_until:
            return rules
        rules = RobotFileParser()
        fresh_sec = _FRESH_SEC
        try:
            document = await self.fetcher.get(f"{site}/robots.txt", limits=_LIMITS)
            rules.parse(document.body.decode("utf-8", "replace").splitlines())
        except FetchError as error:
            absent = error.outcome.startswith("http_4") or error.outcome in ("gone", "paywall")
            rules.parse([] if absent else ["User-agent: *", "Disallow: /"])
            fresh_sec = _FRESH_SEC if absent else _RETRY_SEC
        self._sites[site] = (time.monotonic() + fresh_sec, rules)
        while len(self._sites) > _REMEMBERED_SITES:
            self._sites.popitem(last=False)
        return rules
