"""Pages give their text; walls are recognised, and a page cannot take another publisher's address."""

import pytest

from core.article import decode_article
from producers.feeds.compose import Draft, bare, compose
from producers.feeds.entry import Entry
from producers.feeds.language import detect_language
from producers.feeds.page import CONSENT_WALL, PAYWALL, RawPage, read_page, text_marks
from producers.feeds.pages import wants_page

URL = "https://www.example.org/news/otters"
TEXT = "Otters have returned to the river after forty years of work by the villages on both banks. " * 8
CONSENT = (
    "Before you continue. We and our partners store and/or access information on a device. Accept all. Reject all."
)


def _page(body: str, head: str = "", url: str = URL) -> RawPage:
    return RawPage(url, "text/html", f"<html><head>{head}</head><body>{body}</body></html>".encode())


def _article(paragraph: str) -> str:
    return f"<nav>Home News</nav><article><h1>Otters are back</h1><p>{paragraph}</p></article><footer>About</footer>"


def _entry(**fields) -> Entry:
    return Entry(keys=("k" * 32,), **{"title": "Otters are back", "text": "Otters…", "link": URL, **fields})


def _made(entry: Entry, page: RawPage | None, **draft):
    (made,) = compose([Draft("id1", entry, "Example", page=page, **draft)])
    return decode_article(made.payload), made.keys


def test_the_page_replaces_a_teaser():
    article, _ = _made(_entry(), _page(_article(TEXT)))
    assert article.text == TEXT.strip()
    assert (article.title, article.source, article.language, article.tags) == ("Otters are back", "Example", "en", ())


def test_the_longer_text_wins():
    article, _ = _made(_entry(text=TEXT * 2), _page(_article(TEXT)))
    assert article.text == TEXT * 2


@pytest.mark.parametrize(
    "head",
    [
        '<script type="application/ld+json">{"@type":"NewsArticle","isAccessibleForFree": "False"}</script>',
        '<script type="application/ld+json">{"isAccessibleForFree":false,"hasPart":{}}</script>',
        '<meta property="article:content_tier" content="locked">',
    ],
    ids=["json-ld-string", "json-ld-boolean", "content-tier"],
)
def test_paywalls_that_pages_declare_are_marked(head):
    article, _ = _made(_entry(), _page(_article(TEXT), head))
    assert article.tags == (PAYWALL,)


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("The first lines. Subscribe to continue reading.", (PAYWALL,)),
        ("Dit artikel is exclusief voor abonnees van de krant.", (PAYWALL,)),
        (CONSENT, (CONSENT_WALL,)),
        (TEXT, ()),
        (TEXT * 5 + "Subscribe to continue reading.", ()),
    ],
    ids=["paywall-en", "paywall-nl", "consent", "plain", "long-text-that-mentions-it"],
)
def test_walls_are_seen_in_the_text(text, marks):
    assert text_marks(text) == marks


def test_a_free_page_is_not_marked():
    free = '<script type="application/ld+json">{"isAccessibleForFree": true}</script>'
    assert _made(_entry(), _page(_article(TEXT), free))[0].tags == ()


def test_a_consent_wall_never_replaces_the_teaser_and_is_marked():
    article, _ = _made(
        _entry(text="Otters return to the river, and the villages are proud."), _page(f"<p>{CONSENT}</p>")
    )
    assert article.text == "Otters return to the river, and the villages are proud."
    assert article.tags == (CONSENT_WALL,)


def test_402_marks_the_teaser():
    assert _made(_entry(), None, page_behind_paywall=True)[0].tags == (PAYWALL,)


def test_a_feed_cannot_mark_its_entries_itself():
    article, _ = _made(_entry(categories=("nature", PAYWALL)), None, tags=("mine",))
    assert article.tags == ("mine", "nature")


def test_the_canonical_address_of_the_own_site_names_the_story():
    canonical = '<link rel="canonical" href="https://example.org/otters?id=7&amp;utm_source=x">'
    article, keys = _made(_entry(link=f"{URL}?amp=1"), _page(_article(TEXT), canonical))
    assert article.url == "https://example.org/otters?id=7"
    assert len(keys) == 2


@pytest.mark.parametrize(
    "address", ["https://other.org/their-story", "https://example.org/", "javascript:x", "http://["]
)
def test_a_canonical_address_elsewhere_is_not_believed(address):
    assert read_page(_page(_article(TEXT), f'<link rel="canonical" href="{address}">')).address is None


def test_pages_in_other_charsets_are_read():
    body = _article("Größe, Käse und Übermut. " * 30)
    page = RawPage(
        URL, "text/html", f'<html><head><meta charset="iso-8859-1"></head><body>{body}</body>'.encode("latin-1")
    )
    assert "Größe, Käse und Übermut." in read_page(page).text


@pytest.mark.parametrize(
    "body", ["", "<", "<html>", "\0" * 1000, "<p>" * 5000], ids=["none", "lt", "html", "nul", "nest"]
)
def test_pages_without_text_are_empty(body):
    assert read_page(RawPage(URL, "", body.encode())).text == ""


def test_an_article_can_be_made_without_any_parsing():
    draft = Draft("id1", _entry(language="en"), "Example", ("mine",))
    assert decode_article(bare(draft).payload).text == "Otters…"


@pytest.mark.parametrize(
    ("text", "switch", "wanted"),
    [
        ("short", "auto", True),
        (TEXT, "auto", False),
        (TEXT + " Read more", "auto", True),
        (TEXT + " […]", "auto", True),
        (TEXT, "always", True),
        ("short", "never", False),
    ],
)
def test_the_switch_per_feed(text, switch, wanted):
    assert wants_page(_entry(text=text), switch) is wanted


@pytest.mark.parametrize(
    ("text", "declared", "language"),
    [
        ("De boeren in de polder hebben het water weer in eigen hand.", "en-us", "nl"),
        ("Οι κάτοικοι του χωριού φύτεψαν ξανά το δάσος μετά τη φωτιά.", None, "el"),
        ("川に鮭が戻ってきたと住民が話している。四十年ぶりのことだ。", "en", "ja"),
        ("OK", "pt-BR", "pt"),
        ("OK", "Nederlands (België)", None),
        ("", None, None),
    ],
)
def test_the_text_decides_the_language_and_the_feed_where_the_text_is_short(text, declared, language):
    assert detect_language(text, declared) == language
