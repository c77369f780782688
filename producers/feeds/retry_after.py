"""How long a server asks us to wait."""

import time
from email.utils import parsedate_to_datetime

MAX_WAIT_SEC = 86_400.0
"""A server that says "in ten years" is asked again tomorrow."""


def retry_after_sec(value: str | None, now: float | None = None) -> float | None:
    """Seconds from a Retry-After header, in either of its forms (RFC 9110, 10.2.3); None where it says nothing."""
    if not value:
        return None
    text = value.strip()
    if text.isdecimal():
        wait_sec = float(text[:12])
    else:
        try:
            wait_sec = parsedate_to_datetime(text).timestamp() - (time.time() if now is None else now)
        except (ValueError, OverflowError):
            return None
    return min(max(wait_sec, 0.0), MAX_WAIT_SEC)
