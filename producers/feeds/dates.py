"""Publication times that can be true."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from time import struct_time

_EARLIEST = datetime(1991, 1, 1, tzinfo=UTC)
"""Before the first web page. Broken publishing systems say 1970."""
_CLOCK_SKEW = timedelta(days=2)


def first_plausible(dates: Iterable[str], now: datetime) -> str | None:
    """The first of `dates` that is no earlier than the web and no later than `now`, as ISO 8601 in UTC."""
    for text in dates:
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            continue
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        try:
            date = date.astimezone(UTC)
        except OverflowError:
            continue
        if _EARLIEST <= date <= now + _CLOCK_SKEW:
            return date.isoformat(timespec="seconds").replace("+00:00", "Z")
    return None


def from_struct_time(parsed: struct_time | None) -> str | None:
    """feedparser's UTC tuples; those of impossible dates (second 61, year 0) give None."""
    if parsed is None:
        return None
    try:
        return datetime(*parsed[:5], second=min(parsed.tm_sec, 59), tzinfo=UTC).isoformat()
    except (ValueError, OverflowError):
        return None
