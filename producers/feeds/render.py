"""Articles as feeds of every format: for the demonstration's server and for tests of what we read."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape, quoteattr

import orjson

from core.article import Article

FORMATS = ("rss091", "rss092", "rss20", "rdf", "atom", "json")

CONTENT_TYPES = {
    "rss091": "text/xml",
    "rss092": "application/xml",
    "rss20": "application/rss+xml",
    "rdf": "application/rdf+xml",
    "atom": "application/atom+xml",
    "json": "application/feed+json",
}

_RSS_091_DOCTYPE = '<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/rss-0.91.dtd">'


def render(form: str, title: str, home: str, articles: Sequence[Article]) -> bytes:
    """A feed of `articles`, newest first as given. Ids are the articles' ids, where the format has ids."""
    return _WRITERS[form](title, home, articles)


def _rss(version: str, title: str, home: str, items: Sequence[str], doctype: str = "") -> bytes:
    head = f'<?xml version="1.0" encoding="utf-8"?>\n{doctype}<rss version="{version}"><channel>'
    channel = f"<title>{escape(title)}</title><link>{escape(home)}</link><description>{escape(title)}</description>"
    return f"{head}{channel}\n{''.join(items)}</channel></rss>\n".encode()


def _rss_091(title: str, home: str, articles: Sequence[Article]) -> bytes:
    return _rss("0.91", title, home, [_item(article) for article in articles], _RSS_091_DOCTYPE)


def _rss_092(title: str, home: str, articles: Sequence[Article]) -> bytes:
    return _rss("0.92", title, home, [_item(article) for article in articles])


def _rss_20(title: str, home: str, articles: Sequence[Article]) -> bytes:
    items = [
        _item(article, f'<guid isPermaLink="false">{escape(article.id)}</guid><pubDate>{_rfc822(article)}</pubDate>')
        for article in articles
    ]
    return _rss("2.0", title, home, items)


def _item(article: Article, more: str = "") -> str:
    link = f"<link>{escape(article.url)}</link>" if article.url else ""
    body = f"<description>{escape(_html(article.text))}</description>"
    return f"<item><title>{escape(escape(article.title))}</title>{link}{body}{more}</item>\n"


def _rdf(title: str, home: str, articles: Sequence[Article]) -> bytes:
    order = "".join(f"<rdf:li rdf:resource={quoteattr(_address(article))}/>" for article in articles)
    items = "".join(
        f"<item rdf:about={quoteattr(_address(article))}><title>{escape(article.title)}</title>"
        f"<link>{escape(_address(article))}</link><description>{escape(_html(article.text))}</description>"
        f"<dc:date>{_iso(article)}</dc:date></item>\n"
        for article in articles
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<channel rdf:about={quoteattr(home)}><title>{escape(title)}</title><link>{escape(home)}</link>"
        f"<description>{escape(title)}</description><items><rdf:Seq>{order}</rdf:Seq></items></channel>\n"
        f"{items}</rdf:RDF>\n"
    ).encode()


def _atom(title: str, home: str, articles: Sequence[Article]) -> bytes:
    entries = "".join(
        f"<entry><id>urn:article:{escape(article.id)}</id><title>{escape(article.title)}</title>"
        f"<link rel='alternate' href={quoteattr(_address(article))}/><updated>{_iso(article)}</updated>"
        f"<published>{_iso(article)}</published><content type='html'>{escape(_html(article.text))}</content></entry>\n"
        for article in articles
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom"><id>{escape(home)}</id>'
        f"<title>{escape(title)}</title><link href={quoteattr(home)}/><updated>2026-01-01T00:00:00Z</updated>\n"
        f"{entries}</feed>\n"
    ).encode()


def _json(title: str, home: str, articles: Sequence[Article]) -> bytes:
    items = [
        {
            "id": article.id,
            "url": article.url,
            "title": article.title,
            "content_html": _html(article.text),
            "date_published": _iso(article),
        }
        for article in articles
    ]
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": title, "home_page_url": home, "items": items}
    return orjson.dumps(feed)


def _html(text: str) -> str:
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in text.split("\n\n"))


def _address(article: Article) -> str:
    return article.url or f"urn:article:{article.id}"


def _date(article: Article) -> datetime:
    date = datetime.fromisoformat(article.published) if article.published else datetime(2026, 1, 1, tzinfo=UTC)
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _iso(article: Article) -> str:
    return _date(article).isoformat()


def _rfc822(article: Article) -> str:
    return format_datetime(_date(article))


_WRITERS: dict[str, Callable[[str, str, Sequence[Article]], bytes]] = {
    "rss091": _rss_091,
    "rss092": _rss_092,
    "rss20": _rss_20,
    "rdf": _rdf,
    "atom": _atom,
    "json": _json,
}
