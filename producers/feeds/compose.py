"""Entry and page -> the bytes of articles.raw. Runs in a worker process."""

from dataclasses import dataclass

from core.article import Article
from core.messages import encode
from producers.feeds.entry import Entry
from producers.feeds.identity import readable_url, url_key
from producers.feeds.language import detect_language
from producers.feeds.page import CONSENT_WALL, PAYWALL, Page, RawPage, read_page, text_marks

_MARKS = frozenset((PAYWALL, CONSENT_WALL))


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry with its id, and what to make the article of. `tags` are the subscription's."""

    id: str
    entry: Entry
    source: str
    tags: tuple[str, ...] = ()
    page: RawPage | None = None
    page_behind_paywall: bool = False


@dataclass(frozen=True, slots=True)
class Composed:
    """`payload` is final: it is stored before it is sent, and sent again unchanged. `keys` are further names of the
    story that only its page tells."""

    id: str
    payload: bytes
    keys: tuple[str, ...] = ()


def compose(drafts: list[Draft]) -> list[Composed]:
    """Make the articles of some entries; each is judged by itself."""
    return [_compose(draft) for draft in drafts]


def bare(draft: Draft) -> Composed:
    """The article from what the feed said alone, without any parsing: for entries whose page killed the worker."""
    entry = draft.entry
    article = Article(
        id=draft.id,
        title=entry.title,
        text=entry.text,
        url=entry.link,
        source=draft.source,
        published=entry.published,
        tags=draft.tags,
    )
    return Composed(draft.id, encode(article.to_dict()))


def _compose(draft: Draft) -> Composed:
    entry = draft.entry
    page = read_page(draft.page) if draft.page else Page("")
    page_text = _without_headline(page.text, entry.title)
    text = page_text if len(page_text) > len(entry.text) else entry.text
    marks = {*page.marks, *text_marks(text), *([PAYWALL] if draft.page_behind_paywall else [])}
    # Marks come first and only from us: a feed's own category of that name says nothing.
    tags = dict.fromkeys((*sorted(marks), *draft.tags, *(c for c in entry.categories if c not in _MARKS)))
    article = Article(
        id=draft.id,
        title=entry.title,
        text=text,
        url=readable_url(page.address) if page.address else entry.link,
        source=draft.source,
        language=detect_language(f"{entry.title}\n{text}", entry.language),
        published=entry.published,
        tags=tuple(tags),
    )
    addresses = (page.address, draft.page.url if draft.page else None)
    keys = dict.fromkeys(key for address in addresses if address and (key := url_key(address)))
    return Composed(draft.id, encode(article.to_dict()), tuple(keys))


def _without_headline(text: str, title: str) -> str:
    """Extraction often keeps the page's headline as the first line; the title has a field of its own."""
    first, _, rest = text.partition("\n")
    return rest.strip() if " ".join(first.split()) == title else text
