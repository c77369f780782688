"""The board as a person uses it: live, searched, by keyboard, on a phone, in the dark, and with a screen reader."""

import random
import re
import time

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from core import topics
from core.article import Article
from core.gated import Gated
from tests.browser.conftest import Board, Window
from tests.support.board_records import articles, record, scored

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
DARK = {"color_scheme": "dark"}
in_every_window = pytest.mark.parametrize(
    "window", [{}, DARK, PHONE, PHONE | DARK], ids=["desk", "dark", "phone", "phone-dark"], indirect=True
)
LIVE_SEC = 2.0
PAGES = {
    "list": "/", "filter": "/?filter=uplifting&tier=medium", "rejected": "/?show=rejected", "search": "/?q=river",
    "flow": "/flow", "subscribe": "/subscribe", "missing": "/article?id=nobody",
}  # fmt: skip
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def first_article(page: Page) -> str:
    return page.locator(".item .open").first.get_attribute("href") or ""


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{v['id']}: {[node['html'][:120] for node in v['nodes']][:3]}" for v in found]


def scrolls_sideways(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


@in_every_window
@pytest.mark.parametrize("name", [*PAGES, "article"])
def test_no_page_breaks_accessibility_or_its_width(window: Window, name: str, request: pytest.FixtureRequest):
    page = window.go(PAGES.get(name, "/"))
    if name == "article":
        page = window.go(first_article(page))
    page.wait_for_timeout(300)
    window.picture(request.node.callspec.id)
    if name == "missing":
        window.faults.clear()  # the browser reports the 404 that we asked for
    assert violations(page) == []
    assert not scrolls_sideways(page)


@in_every_window
@pytest.mark.parametrize("path", ["/", "/flow", "/subscribe", "/?show=rejected", "/?filter=uplifting", "/?q=river"])
def test_a_board_without_articles_says_what_to_do(
    window: Window, empty_board: Board, path: str, request: pytest.FixtureRequest
):
    window.board = empty_board
    page = window.go(path)
    window.picture(f"empty-{request.node.callspec.id.replace('/', '')}")
    assert page.locator(".item").count() == 0
    if path != "/subscribe":
        expect(page.locator(".empty").first).to_be_visible()
    assert violations(page) == []
    assert not scrolls_sideways(page)


UNUSUAL = {
    "long": ("en", "The committee that was to report on the reports of the other committees reports " * 6),
    "unbroken": ("de", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 4),
    "arabic": ("ar", "القرية التي أعادت زراعة 1,200 شجرة زيتون في عامين (صور)"),
    "hebrew": ("he", 'בית הספר "רימון" פתח את שעריו ל-300 ילדים'),
    "mixed": ("ar", "Stillhouse: ما الجديد في الإصدار 0.1؟"),
    "untitled": ("en", ""),
    "marks": ("en", "Z̷̢̛a̸͎͝l̵̛̝g̶̱̈o̷ \u200b 👩‍👩‍👧‍👦 \u202egnp.exe"),
}


@pytest.fixture(scope="module")
def unusual(board: Board) -> None:
    for name, (language, title) in UNUSUAL.items():
        source = title[:40] if language in ("ar", "he") else "The Unusual Gazette of Everything"
        url = f"https://{'a' * 60}.example/{name}"
        article = Article(name, title, f"unusual {title} " * 3, url=url, source=source, language=language)
        gated = Gated(article, np.full(4, 0.5, np.float32))
        verdict = scored(article, random.Random(name), keen=0.9)
        board.publish([record(topics.GATED, name, gated.to_bytes(), 0, 0)])
        board.publish([record(topics.SCORED, name, verdict.to_bytes(), 0, 0)])


@in_every_window
def test_unusual_titles_keep_the_page_in_shape(window: Window, unusual: None, request: pytest.FixtureRequest):
    page, kind = window.page, request.node.callspec.id
    for _ in range(50):
        window.go("/?q=unusual")
        if page.locator(".item").count() == len(UNUSUAL):
            break
        page.wait_for_timeout(200)
    window.picture(f"unusual-{kind}")
    assert violations(page) == []
    assert not scrolls_sideways(page)
    title = page.locator("li[data-id=arabic] .open").bounding_box()
    frame = page.locator("li[data-id=arabic] .item-body").bounding_box()
    assert title["x"] + title["width"] == pytest.approx(frame["x"] + frame["width"], abs=2)
    for name in UNUSUAL:
        page = window.go(f"/article?id={name}")
        window.picture(f"unusual-{name}-{kind}")
        assert violations(page) == []
        assert not scrolls_sideways(page)


def test_an_article_appears_within_two_seconds(window: Window):
    page = window.go("/")
    expect(page.locator("#live")).to_have_text("Live")
    page.wait_for_timeout(1_000)
    article = Article("live-1", "A tram line opens in Kisumu", "Passengers sang.", source="Nation", language="en")
    verdict = scored(article, random.Random(1), keen=1)
    window.board.publish([record(topics.SCORED, article.id, verdict.to_bytes(), 0, 0)])
    started = time.monotonic()
    expect(page.locator(".item .open").first).to_have_text("A tram line opens in Kisumu")
    assert time.monotonic() - started < LIVE_SEC


def test_a_list_that_was_scrolled_offers_new_articles_and_does_not_jump(window: Window):
    page = window.go("/")
    expect(page.locator("#live")).to_have_text("Live")
    page.wait_for_timeout(1_000)
    page.mouse.wheel(0, 1_500)
    page.wait_for_function("scrollY > 1000")
    before = page.evaluate("scrollY")
    article = Article("live-2", "Held back", "text", language="en")
    window.board.publish([record(topics.SCORED, "live-2", scored(article, random.Random(2)).to_bytes(), 0, 0)])
    expect(page.locator("#fresh")).to_have_text("1 new article")
    assert page.evaluate("scrollY") == before
    page.keyboard.press("n")
    expect(page.locator(".item .open").first).to_have_text("Held back")


def test_the_filter_page_shows_only_its_own_news(window: Window):
    page = window.go("/?filter=uplifting&tier=high")
    page.wait_for_timeout(1_000)
    verdicts = [
        scored(Article(f"tier-{i}", f"Tier {i}", "x", language="en"), random.Random(i), keen=1) for i in range(40)
    ]
    window.board.publish([record(topics.SCORED, v.article.id, v.to_bytes(), 0, 0) for v in verdicts])
    high = {v.article.title for v in verdicts if v.filters["uplifting"].tier == "high"}
    assert high
    for title in high:
        expect(page.locator(".item .open", has_text=re.compile(f"^{title}$"))).to_be_visible()
    shown = {text for text in page.locator(".item .open").all_inner_texts() if text.startswith("Tier ")}
    assert shown == high


def test_the_keyboard_path(window: Window):
    page = window.go("/")
    titles = page.locator(".item .open").all_inner_texts()
    focused = "document.activeElement.innerText"
    for expected in titles[:3]:
        page.keyboard.press("j")
        assert page.evaluate(focused) == expected
    page.keyboard.press("k")
    assert page.evaluate(focused) == titles[1]
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(titles[1])
    page.keyboard.press("u")
    page.wait_for_url("**/")
    page.keyboard.press("/")
    page.keyboard.type("river")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=river**")
    assert page.locator(".item").count() > 0
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url("**/flow")


def test_the_tab_key_reaches_content_first(window: Window):
    page = window.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_language_and_search_narrow_the_list(window: Window):
    page = window.go("/")
    page.get_by_label("Language").select_option("el")
    page.wait_for_url("**language=el**")
    assert set(page.locator(".item .code").all_inner_texts()) == {"EL"}
    page.get_by_label("Search").fill("δασος")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=**")
    assert "language=el" in page.url
    assert page.locator(".item").count() > 0
    page.get_by_role("link", name="Clear").click()
    page.wait_for_url(lambda url: "q=" not in url)


def test_the_article_page_explains(window: Window):
    page = window.go("/?filter=uplifting&tier=medium")
    page.locator(".item .open").first.click()
    panel = page.locator("details", has=page.get_by_role("heading", name="Uplifting"))
    expect(panel.get_by_role("img")).to_have_attribute("aria-label", re.compile("on a scale of 0 to 10, 90% interval"))
    expect(panel.locator(".because")).to_contain_text(re.compile("threshold of|caps the score"))
    assert panel.locator("tbody tr th").count() == 6


def test_script_in_a_title_is_text(window: Window):
    nasty = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"
    page = window.go("/")
    page.wait_for_timeout(1_000)
    article = Article("nasty", nasty, nasty, source=nasty, language="en", url="javascript:window.pwned=3")
    window.board.publish([record(topics.SCORED, "nasty", scored(article, random.Random(3), keen=1).to_bytes(), 0, 0)])
    expect(page.locator(".item .open").first).to_have_text(nasty)
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(nasty)
    assert page.evaluate("window.pwned") is None


def test_the_theme_is_kept(window: Window):
    page = window.go("/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_flow_figures_refresh_by_themselves(window: Window):
    page = window.go("/flow")
    expect(page.locator("#live")).to_have_text("Live", timeout=30_000)
    before = page.locator("#picture").inner_text()
    more = [record(topics.SCORED, a.id, scored(a, random.Random(4)).to_bytes(), 0, 0) for a in articles(25, seed=77)]
    window.board.publish(more)
    expect(page.locator("#picture")).not_to_have_text(before, timeout=30_000)


@pytest.mark.parametrize("window", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_everything_can_be_read(window: Window):
    page = window.go("/")
    assert page.locator(".item").count() > 10
    page.get_by_role("link", name="Older articles").click()
    assert page.locator(".item").count() > 10
    page.get_by_role("link", name="Flow").click()
    expect(page.locator("h1")).to_have_text("Flow")
