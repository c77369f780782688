"""Templates with everything escaped, and the words and numbers that they use."""

import hashlib
import time
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from consumers.board.catalogue import Catalogue, humanise
from consumers.board.explain import REJECTED, tier_rank
from consumers.board.feeds_out import link_of
from consumers.board.flow import Flow
from consumers.board.queries import Item
from core.estimates import Estimate
from core.scoring import LOWEST_TIER

FOLDER = Path(__file__).parent
CHIPS = 4

LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "no": "Norwegian", "nb": "Norwegian", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian",
    "sv": "Swedish", "sw": "Swahili", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip


def environment(catalogue: Catalogue) -> Environment:
    """Undefined names are errors, so a template cannot silently show nothing."""
    templates = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    versions = {file.name: _version(file) for file in sorted((FOLDER / "static").iterdir())}
    templates.globals["asset"] = lambda name: f"/static/{name}?v={versions[name]}"
    templates.filters |= {
        "ago": ago, "iso": iso, "stamp": stamp, "day": day, "direction": direction,
        "score": score, "plain": plain, "pct": position, "span": span,
        "within": within, "percent": percent, "thousands": thousands, "count": count, "rate": rate,
        "duration": duration, "humanise": humanise, "language": language, "why": why, "link": link_of, "host": host,
        "notable": is_notable, "rejection": rejection, "waiting": waiting, "lag": lag, "figure": figure,
        "bounds": bounds, "without": without,
    }  # fmt: skip

    def specced(name: str, result: Mapping[str, Any]) -> Any:
        return catalogue.spec(name, str(result["version"]))

    def tone(name: str, result: Mapping[str, Any]) -> str:
        rank = tier_rank(specced(name, result), str(result["tier"]))
        return "none" if rank == 0 else "some" if rank == 1 else "top"

    def thresholds(name: str, result: Mapping[str, Any]) -> list[tuple[str, float]]:
        spec = specced(name, result)
        return [(tier.name, tier.at_least) for tier in spec.tiers] if spec else []

    def chips(item: Item) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """The tiers that an article reached, the highest first."""
        reached = [(name, r) for name, r in item.filters.items() if r["tier"] != LOWEST_TIER]
        reached.sort(key=lambda pair: (-tier_rank(specced(*pair), pair[1]["tier"]), -pair[1]["weighted"]))
        return reached[:CHIPS]

    templates.filters |= {"tone": tone, "thresholds": thresholds, "chips": chips}
    return templates


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")


def stamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%-d %B %Y, %H:%M UTC")


def ago(at_ms: int) -> str:
    seconds = max(0, time.time() - at_ms / 1000)
    for limit, unit, size in ((60, "sec", 1), (3600, "min", 60), (86_400, "hr", 3600), (604_800, "days", 86_400)):
        if seconds < limit:
            return "now" if seconds < 10 else f"{int(seconds // size)} {unit} ago"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%-d %b %Y")


def day(published: str) -> str:
    """Of an ISO 8601 time; what a source wrote in another form is shown as it is."""
    try:
        return datetime.fromisoformat(published).strftime("%-d %B %Y")
    except ValueError:
        return published


def direction(text: str) -> str:
    """Of the first letter that has one. An entry is laid out as a whole in the direction of its title."""
    classes = map(unicodedata.bidirectional, text)
    return "rtl" if next((c for c in classes if c in ("L", "R", "AL")), "L") != "L" else "ltr"


def score(value: float) -> str:
    return f"{value:.1f}"


def plain(value: float) -> str:
    return f"{value:g}"


def position(value: float) -> str:
    """Place of 0-10 on a drawing's width, with room for a mark at either end."""
    return f"{2 + 9.6 * min(10.0, max(0.0, value)):.2f}%"


def span(width: float) -> str:
    return f"{9.6 * min(10.0, max(0.0, width)):.2f}%"


def within(value: float, low: float, high: float) -> float:
    """`value` on a scale from `low` to `high`, as 0-10."""
    return min(10.0, max(0.0, (value - low) / (high - low) * 10))


def percent(value: float) -> str:
    return f"{value:.1f}%" if value < 10 else f"{value:.0f}%"


def thousands(value: int) -> str:
    return f"{value:,}"


def count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def rate(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def duration(ms: int) -> str:
    for limit, divisor, unit in ((1_000, 1, "ms"), (60_000, 1_000, "s"), (3_600_000, 60_000, "min")):
        if ms < limit:
            value = ms / divisor
            return f"{value:.1f} {unit}" if unit != "ms" and value < 10 else f"{value:.0f} {unit}"
    return f"{ms / 3_600_000:.1f} h"


def language(code: str) -> str:
    return LANGUAGES.get(code.split("-")[0], code)


def why(item: Item) -> str:
    return f"/article?id={quote(item.id, safe='')}"


def host(item: Item) -> str:
    return (urlsplit(item.url or "").hostname or "the source").removeprefix("www.")


def is_notable(item: Item, filter_name: str = "") -> bool:
    """True if the article reached a tier: in this filter, or without one in any."""
    return any(r["tier"] != LOWEST_TIER for name, r in item.filters.items() if filter_name in ("", name))


def rejection(reason: str) -> str:
    return REJECTED.get(reason, "A rule of the screen rejected it.")


def waiting(flow: Flow) -> str:
    known = [value for value in flow.lags.values() if value is not None]
    return thousands(sum(known)) if known else "–"


def lag(flow: Flow, stage: str) -> str:
    value = flow.lags.get(stage)
    return "not running" if value is None else "caught up" if value == 0 else f"{value:,} waiting"


def figure(estimate: Estimate, name: str) -> str:
    return _figure(name, estimate.value)


def bounds(estimate: Estimate, name: str) -> str:
    return f"{_figure(name, estimate.low)} to {_figure(name, estimate.high)}"


def _figure(name: str, value: float) -> str:
    return f"{value:.2f}" if name == "error" else f"{value:.0%}"


def without(mapping: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in mapping.items() if key != name}


def _version(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:10]
