"""What a feed says: its entries, in one form for every format."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as plain text. `keys` are what it is recognised by, most telling first (producers.feeds.identity);
    `guid_key` is the one of them that comes from a guid, where there is one."""

    keys: tuple[str, ...]
    title: str
    text: str
    link: str | None = None
    published: str | None = None
    language: str | None = None
    categories: tuple[str, ...] = ()
    guid_key: str | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """A parsed document. `notes` are codes of what had to be mended (`broken_xml`, `entries_cut`, ...);
    `dropped` counts entries without any content."""

    format: str
    title: str
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One entry as the format gives it; title and body may hold HTML."""

    guid: str = ""
    link: str = ""
    title: str = ""
    body: str = ""
    dates: tuple[str, ...] = ()
    language: str = ""
    categories: tuple[str, ...] = ()
