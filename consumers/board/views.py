"""What a reader asked for: the query parameters of a request, checked and bounded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self, cast, get_args
from urllib.parse import urlencode

from core.errors import StillhouseError
from core.spec import NAME_PATTERN

Show = Literal["all", "notable", "rejected"]

MAX_QUERY_CHARS = 200
MAX_TERMS = 12

_LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})?")
_CODE = re.compile(r"[A-Za-z0-9_ -]{1,64}")
_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,18}|[1-8][0-9]{18})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BadRequest(StillhouseError):
    """A parameter has a value that cannot be meant."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Place in a list, newest first: time and row of its last entry."""

    at_ms: int
    n: int

    def __str__(self) -> str:
        return f"{self.at_ms}-{self.n}"


@dataclass(frozen=True, slots=True)
class View:
    """One list of articles. `tier` means that tier or a higher one."""

    show: Show = "all"
    filter: str = ""
    tier: str = ""
    language: str = ""
    reason: str = ""
    query: str = ""

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> Self:
        """Raises BadRequest naming the parameter at fault."""
        show = params.get("show") or "all"
        if show not in get_args(Show):
            raise BadRequest(f"show={show[:40]!r} is not a list.", action=f"Use one of {', '.join(get_args(Show))}.")
        query = _CONTROL.sub(" ", params.get("q") or "").strip()
        if len(query) > MAX_QUERY_CHARS:
            raise BadRequest(f"The search has {len(query)} characters.", action=f"Use at most {MAX_QUERY_CHARS}.")
        return cls(
            show=cast(Show, show),
            filter=_checked(params, "filter", NAME_PATTERN),
            tier=_checked(params, "tier", _CODE),
            language=_checked(params, "language", _LANGUAGE).lower(),
            reason=_checked(params, "reason", _CODE),
            query=query,
        )

    def url(self, path: str = "/", **changes: str) -> str:
        """Address of this view with some of its fields changed; an empty field is left out."""
        view = replace(self, **changes)  # type: ignore[arg-type]
        pairs = {
            "show": "" if view.show == "all" else view.show,
            "filter": view.filter,
            "tier": view.tier,
            "language": view.language,
            "reason": view.reason,
            "q": view.query,
        }
        encoded = urlencode({name: value for name, value in pairs.items() if value})
        return f"{path}?{encoded}" if encoded else path


def cursor_of(params: Mapping[str, str]) -> Cursor | None:
    """The `before` parameter."""
    text = params.get("before")
    if not text:
        return None
    if not (match := _CURSOR.fullmatch(text)):
        raise BadRequest("before= is not a place in the list.", action="Follow the link `Older` instead.")
    return Cursor(int(match[1]), int(match[2]))


def number_of(params: Mapping[str, str], name: str, default: int, highest: int) -> int:
    """A whole number from 0 to `highest`; larger ones are taken as `highest`."""
    text = params.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(f"{name}={text[:40]!r} is not a number.", action=f"Use 0 to {highest}.")
    return min(highest, int(text[:15]))


def _checked(params: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = params.get(name) or ""
    if value and not pattern.fullmatch(value):
        raise BadRequest(
            f"{name}={value[:40]!r} cannot be meant.", action=f"Leave {name} out or choose it on the page."
        )
    return value
