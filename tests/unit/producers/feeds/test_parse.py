"""Every format reads the same; what is broken is mended, cut or refused by name."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.article import Article
from producers.feeds.charset import decode
from producers.feeds.errors import ParseError
from producers.feeds.html_text import one_line, plain_text
from producers.feeds.parse import Source, parse_feed
from producers.feeds.render import CONTENT_TYPES, FORMATS, render
from tests.support.feed_server import BILLION_LAUGHS

HOME = "https://example.org/"
ARTICLES = [
    Article(
        id=f"a{number}",
        title=f"Dijk & duin <{number}>: “Größe”",
        text=f"Eerste alinea {number}.\n\nTweede alinea, 5 < 6.",
        url=f"https://example.org/stories/{number}",
        published="2026-11-20T10:00:00+01:00",
    )
    for number in range(5)
]


def _read(body, content_type="", **options):
    return parse_feed(body, Source(f"{HOME}feed", f"{HOME}feed", content_type), **options)


def _rss(items: str, head: str = '<?xml version="1.0" encoding="utf-8"?>') -> bytes:
    return f'{head}<rss version="2.0"><channel><title>T</title>{items}</channel></rss>'.encode()


def _item(**fields: str) -> str:
    return "<item>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields.items()) + "</item>"


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_entries(form):
    feed = _read(render(form, "Feed & title", HOME, ARTICLES), CONTENT_TYPES[form])
    assert feed.title == "Feed & title"
    assert [entry.title for entry in feed.entries] == [article.title for article in ARTICLES]
    assert [entry.text for entry in feed.entries] == [article.text for article in ARTICLES]
    assert [entry.link for entry in feed.entries] == [article.url for article in ARTICLES]
    assert feed.notes == ()
    if form not in ("rss091", "rss092"):  # these have no dates of entries
        assert {entry.published for entry in feed.entries} == {"2026-11-20T09:00:00Z"}


@pytest.mark.parametrize("form", FORMATS)
def test_addresses_give_the_same_id_in_every_format(form):
    feed = _read(render(form, "T", HOME, ARTICLES))
    atom = _read(render("atom", "T", HOME, ARTICLES))
    assert [entry.keys[0] for entry in feed.entries] == [entry.keys[0] for entry in atom.entries]


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-16-le", "iso-8859-1", "windows-1252"])
@pytest.mark.parametrize("declared", ["utf-8", "iso-8859-1", "windows-1252", "nonsense", "idna", None])
def test_text_survives_wrong_declarations(charset, declared):
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else '<?xml version="1.0"?>'
    items = _item(title="Größe à la carte, naïve façade", link="https://a.org/1")
    body = _rss(items, head).decode().encode(charset)
    assert _read(body).entries[0].title == "Größe à la carte, naïve façade"


@pytest.mark.parametrize(
    ("title", "read"),
    [
        pytest.param("&lt;b&gt;Bold&lt;/b&gt; news", "Bold news", id="escaped-tags"),
        pytest.param("<![CDATA[<i>Slanted</i> &amp; fine]]>", "Slanted & fine", id="cdata"),
        pytest.param("R&amp;amp;D", "R&D", id="twice-escaped"),
        pytest.param("5 &lt; 6", "5 < 6", id="less-than"),
        pytest.param("&lt;script&gt;alert(1)&lt;/script&gt;Real", "Real", id="script"),
        pytest.param("Two\n  lines", "Two lines", id="lines"),
    ],
)
def test_titles_are_plain_text(title, read):
    assert _read(_rss(_item(title=title, link="https://a.org/1"))).entries[0].title == read


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 13 Nov 2099 10:00:00 GMT"])
def test_impossible_dates_are_dropped_and_the_entry_kept(date):
    feed = _read(_rss(_item(title="T", link="https://a.org/1", pubDate=date)))
    assert feed.entries[0].published is None
    assert "implausible_dates" in feed.notes


@pytest.mark.parametrize("date", ["yesterday", "Mon, 99 Xyz 2026", "0000-00-00", "2026-13-45T99:99:99Z"])
def test_dates_that_are_none_are_dropped(date):
    assert _read(_rss(_item(title="T", link="https://a.org/1", pubDate=date))).entries[0].published is None


def test_entries_without_any_content_are_counted_not_kept():
    feed = _read(_rss(_item(link="https://a.org/1") + _item(title="T")))
    assert (len(feed.entries), feed.dropped) == (1, 1)


def test_relative_links_become_absolute_and_others_than_http_are_dropped():
    feed = _read(_rss(_item(title="A", link="/x") + _item(title="B", link="javascript:alert(1)")))
    assert [entry.link for entry in feed.entries] == ["https://example.org/x", None]


def test_the_last_entry_of_a_cut_document_waits_for_the_next_poll():
    body = _rss(_item(title="Whole", link="https://a.org/1") + _item(title="Cut off here", link="https://a.org/2"))
    feed = _read(body[: body.index(b"off here")])
    assert [entry.title for entry in feed.entries] == ["Whole"]
    assert "broken_xml" in feed.notes


def test_a_document_with_stray_markup_is_mended():
    feed = _read(_rss(_item(title="A & B", link="https://a.org/1?a=1&b=2") + _item(title="C", link="https://a.org/2")))
    assert [entry.title for entry in feed.entries] == ["A & B", "C"]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b" \n\t ", "empty", id="blank"),
        pytest.param(BILLION_LAUGHS, "entities", id="billion-laughs"),
        pytest.param(BILLION_LAUGHS.decode().encode("utf-16"), "entities", id="utf-16-bomb"),
        pytest.param(b"<!-- <a --><?x <b ?><!DOCTYPE r SYSTEM 'x' [<!ENTITY a 'b'>]><rss/>", "entities", id="hidden"),
        pytest.param(b"<!DOCTYPE html><html><body>Hello</body></html>", "not_a_feed", id="html"),
        pytest.param(b"{}", "not_a_feed", id="json"),
        pytest.param(b"[" * 100_000, "broken_json", id="deep-json"),
        pytest.param(b"plain words", "not_a_feed", id="text"),
        pytest.param(bytes(range(256)) * 50, "not_a_feed", id="binary"),
    ],
)
def test_what_is_no_feed_is_named(body, outcome):
    with pytest.raises(ParseError) as refusal:
        _read(body)
    assert refusal.value.outcome == outcome


def test_a_web_page_names_its_feed():
    page = b"<html><head><link rel='alternate' type='application/atom+xml' href='/atom.xml'></head></html>"
    with pytest.raises(ParseError, match=r"https://example\.org/atom\.xml"):
        _read(page)


@pytest.mark.parametrize("item", [b"<item/>", b"<item><title>x</title></item>"], ids=["empty", "titled"])
def test_a_million_entries_are_cut_before_they_are_parsed(item):
    started = time.monotonic()
    feed = _read(b"<rss version='2.0'><channel>" + item * 1_000_000 + b"</channel></rss>", max_entries=100)
    assert len(feed.entries) + feed.dropped <= 100
    assert "entries_cut" in feed.notes
    assert time.monotonic() - started < 10


def test_a_long_feed_keeps_its_first_entries_whole():
    items = "".join(_item(title=f"Title {n}", link=f"https://a.org/{n}") for n in range(500))
    feed = _read(_rss(items), max_entries=200)
    assert [entry.title for entry in feed.entries] == [f"Title {n}" for n in range(200)]
    assert feed.notes == ("entries_cut",)


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_feed_or_a_named_refusal(body):
    with contextlib.suppress(ParseError):
        assert len(_read(body).entries) < len(body)


@given(st.binary(max_size=300))
def test_any_bytes_have_text(body):
    assert isinstance(decode(body, "text/xml; charset=x"), str)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One</p><p>Two<br>three</p>", "One\n\nTwo\n\nthree"),
        ("a<script>x()</script>b<style>p{}</style>", "ab"),
        ("<ul><li>a</li><li>b</li></ul>", "a\n\nb"),
        ("no markup at all", "no markup at all"),
        ("<!-- only a comment -->", ""),
        ("Fish &amp; chips", "Fish & chips"),
    ],
)
def test_html_becomes_paragraphs(markup, text):
    assert plain_text(markup) == text


def test_nests_made_to_exhaust_the_stack_are_survived():
    started = time.monotonic()
    assert "deep" in plain_text("<div>" * 50 + "deep" + "<b>" * 100_000)
    assert one_line("<" * 100_000) is not None
    assert time.monotonic() - started < 10
