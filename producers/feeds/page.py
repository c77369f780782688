"""An article's page: its text, whether it is walled, and the address it gives itself. Runs in a worker process."""

import html
import logging
import re
from dataclasses import dataclass
from urllib.parse import urljoin

from core.article import Article
from core.text import apply_rules, clean, clean_article
from producers.feeds.charset import decode
from producers.feeds.identity import canonical_url

PAYWALL = "paywall"
CONSENT_WALL = "consent_wall"

# schema.org's isAccessibleForFree and the Open Graph content tier are what search engines ask publishers for.
_LOCKED = re.compile(
    r"""["']?isAccessibleForFree["']?\\?["']?\s*[:=]\s*(?:\[\s*)?\\?["']?(?:https?://schema.org/)?false"""
    r"""|<meta[^>]+article:content_tier["'][^>]+content\s*=\s*["'](?:locked|metered)""",
    re.IGNORECASE,
)
_CANONICAL = re.compile(
    r"""<link\b(?=[^>]*\brel\s*=\s*["']?canonical\b)[^>]*\bhref\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE
)
_PAYWALL_PHRASES = tuple(
    phrase.casefold()
    for phrase in (
        "subscribe to continue reading", "subscribe to keep reading", "subscribe to read the full",
        "to continue reading, subscribe", "this article is for subscribers", "this content is for subscribers",
        "this article is exclusive to subscribers", "available to subscribers only", "already a subscriber? log in",
        "already a subscriber? sign in", "dit artikel is exclusief voor abonnees", "lees verder met een abonnement",
        "al abonnee? log in", "weiterlesen mit", "dieser artikel ist nur für abonnenten",
        "article réservé aux abonnés", "réservé à nos abonnés", "contenido exclusivo para suscriptores",
        "articolo riservato agli abbonati", "contenuto riservato agli abbonati", "exclusivo para assinantes",
    )
)  # fmt: skip
_PAYWALL_MAX_CHARS = 2_500
_HEAD_CHARS = 300_000


@dataclass(frozen=True, slots=True)
class RawPage:
    """A page as fetched; `url` is its address after redirects."""

    url: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """`address` is the canonical link, where the page names one on its own site."""

    text: str
    marks: tuple[str, ...] = ()
    address: str | None = None


def read_page(raw: RawPage) -> Page:
    """Main text of a page; empty where a wall stands before it."""
    import trafilatura  # 1 s and 100 MB, which only workers that meet a page should pay

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a page without text is no error of ours
    markup = decode(raw.body, raw.content_type)
    text = clean(trafilatura.extract(markup, url=raw.url, include_comments=False, output_format="txt") or "")
    marks = set(text_marks(text))
    if _LOCKED.search(markup):
        marks.add(PAYWALL)
    if CONSENT_WALL in marks:
        text = ""
    return Page(text, tuple(sorted(marks)), _own_address(markup[:_HEAD_CHARS], raw.url))


def text_marks(text: str) -> tuple[str, ...]:
    """Walls that a text itself shows. What counts as consent wall is core's rule, which later rejects it."""
    verdict = apply_rules(clean_article(Article(id="", title="", text=text)))
    marks = [CONSENT_WALL] if verdict and verdict.reason == CONSENT_WALL else []
    folded = text.casefold() if len(text) <= _PAYWALL_MAX_CHARS else ""
    if any(phrase in folded for phrase in _PAYWALL_PHRASES):
        marks.append(PAYWALL)
    return tuple(marks)


def _own_address(markup: str, url: str) -> str | None:
    """The canonical link, if it stays on the page's site: a page must not claim another publisher's story."""
    if not (found := _CANONICAL.search(markup)):
        return None
    try:
        address = urljoin(url, html.unescape(found[1]))
    except ValueError:
        return None
    own, named = canonical_url(url), canonical_url(address)
    return address if own and named and _site(own) == _site(named) else None


def _site(canonical: str) -> str:
    return canonical.split("/")[2]
