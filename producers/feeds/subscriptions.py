"""The list of feeds: TOML of our own, or OPML from any feed reader."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from defusedxml import DefusedXmlException, ElementTree
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import SettingsError

Fulltext = Literal["auto", "always", "never"]

_EXAMPLE = 'A list looks like this: [[feed]] url = "https://example.org/feed.xml" (docs/feeds.md).'


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Subscription(_Strict):
    """One feed to read."""

    url: str
    name: str | None = Field(default=None, description="shown as the articles' source; unset: the feed's own title")
    fulltext: Fulltext = Field(
        default="auto", description="fetch article pages: where the feed has teasers, always, or never"
    )
    every_min: float = Field(default=15.0, ge=1, le=10_080, description="minutes between two polls")
    tags: tuple[str, ...] = Field(default=(), description="added to every article")

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url


class Politeness(_Strict):
    """How hard hosts may be asked."""

    host_delay_sec: float = Field(default=1.0, ge=0, le=3600, description="pause between two requests to one host")
    host_concurrency: int = Field(default=1, ge=1, le=16, description="requests to one host at a time")
    concurrency: int = Field(default=16, ge=1, le=256, description="feeds polled at a time")
    robots: bool = Field(default=True, description="ask robots.txt before fetching article pages")


class Subscriptions(_Strict):
    """A whole list, each address once."""

    feeds: tuple[Subscription, ...]
    politeness: Politeness = Politeness()


def load_subscriptions(path: Path) -> Subscriptions:
    """Read a list.

    Raises:
        SettingsError: the file is missing, is no list, or has a key or value that means nothing.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}.", action=_EXAMPLE) from None
    is_opml = path.suffix.lower() in (".opml", ".xml") or content.lstrip()[:1] == b"<"
    try:
        feeds, politeness = _from_opml(content) if is_opml else _from_toml(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"{path}: {faults}.", action=_EXAMPLE) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ElementTree.ParseError, DefusedXmlException) as error:
        raise SettingsError(f"{path}: {error or type(error).__name__}.", action=_EXAMPLE) from None
    if not feeds:
        raise SettingsError(f"{path} names no feeds.", action=_EXAMPLE)
    return Subscriptions(feeds=tuple({feed.url: feed for feed in feeds}.values()), politeness=politeness)


class _TomlFile(_Strict):
    """`[defaults]` holds keys of a feed, for all that do not set them; `[politeness]` is for the whole list."""

    feed: tuple[dict[str, Any], ...] = ()
    defaults: dict[str, Any] = {}
    politeness: Politeness = Politeness()


def _from_toml(content: bytes) -> tuple[list[Subscription], Politeness]:
    file = _TomlFile.model_validate(tomllib.loads(content.decode()))
    return [Subscription.model_validate({**file.defaults, **feed}) for feed in file.feed], file.politeness


def _from_opml(content: bytes) -> tuple[list[Subscription], Politeness]:
    """Outlines with an xmlUrl, however deep; the folders above a feed become its tags."""
    feeds = []
    waiting: list[tuple[Any, tuple[str, ...]]] = [(ElementTree.fromstring(content), ())]
    while waiting:
        element, folders = waiting.pop()
        name = element.get("text") or element.get("title")
        if url := element.get("xmlUrl"):
            feeds.append(Subscription(url=url, name=name, tags=folders))
        elif element.tag == "outline" and name:
            folders = (*folders, name)
        waiting.extend((child, folders) for child in reversed(element))
    return feeds, Politeness()
