import random
import re
import sqlite3
from urllib.parse import quote

import httpx
import pytest

from consumers.board.app import create_app
from consumers.board.pages import Pages
from core import topics
from core.article import Article
from core.messages import Rejected
from core.settings import Settings
from tests.support.board_records import articles, record, scored, stream
from tests.unit.consumers.board.conftest import client_of

NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


async def test_every_page_answers_with_the_security_headers(client: httpx.AsyncClient):
    for path in ("/", "/flow", "/subscribe", "/article?id=article-7-1", "/health", "/asyncapi.json",
                 "/schemas/articles.scored.json", "/static/board.css", "/feeds/uplifting.atom"):  # fmt: skip
        answer = await client.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_no_inline_script_or_style_and_nothing_from_elsewhere(client: httpx.AsyncClient):
    for path in ("/", "/?filter=uplifting", "/flow", "/subscribe", "/article?id=article-7-1"):
        page = (await client.get(path)).text
        assert not re.search(r"<script(?![^>]*\ssrc=)|\sstyle=|\son[a-z]+=|<style", page)
        assert not re.findall(r'(?:src|href)="(?!/|#|http://127\.0\.0\.1|https://news\.example/)[^"]*"', page)


async def test_pages_lead_through_the_whole_list_without_repeats(client: httpx.AsyncClient):
    seen: list[str] = []
    path = "/"
    while path:
        page = (await client.get(path)).text
        seen += re.findall(r'data-id="([^"]+)"', page)
        older = re.search(r'href="([^"]+)" rel="next"', page)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) > 200


async def test_tier_and_language_narrow_the_list(filled: Pages, client: httpx.AsyncClient):
    page = (await client.get("/?filter=uplifting&tier=medium&language=nl")).text
    tiers = set(re.findall(r'<span class="tier">(\w+)', page))
    assert tiers == {"medium", "high"}
    assert set(re.findall(r'class="code"[^>]*>(\w+)<', page)) == {"nl"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?show=nothing", 400), ("/?filter=../../x", 400), ("/?filter=unknown", 404), ("/?before=abc", 400),
        ("/?before=99999999999999-1", 200), ("/?before=0-0", 200), ("/?page=99999999999999999999", 200),
        ("/?q=" + "x" * 5000, 400), ("/?q=%00%22%27", 200), ("/?language=%F0%9F%92%A9", 400), ("/article", 404),
        ("/article?id=nobody", 404), ("/article?id=" + "a" * 9000, 404), ("/nothing/here", 404),
        ("/static/../app.py", 404),
        ("/static/%2e%2e/app.py", 404), ("/feeds/uplifting.exe", 404), ("/feeds/..%2f..%2fx.atom", 404),
        ("/feeds/unknown.atom", 404), ("/feeds/uplifting.atom?limit=99999999999", 200),
        ("/feeds/uplifting.atom?limit=-1", 400), ("/schemas/articles.gated.json", 404), ("/events?after=x", 400),
        ("/events?filter=%3Cscript%3E", 400), ("/?tier=medium%27--", 400),
    ],
)  # fmt: skip
async def test_hostile_parameters_have_a_named_outcome(client: httpx.AsyncClient, path: str, status: int):
    answer = await client.get(path)
    assert answer.status_code == status
    if status != 200:
        assert "<h1>" in answer.text
        assert "Traceback" not in answer.text


async def test_other_methods_and_other_hosts_are_refused(client: httpx.AsyncClient):
    assert (await client.post("/")).status_code == 405
    assert (await client.get("/", headers={"host": "evil.example"})).status_code == 400


async def test_a_board_on_a_network_address_answers_by_any_name(filled: Pages):
    filled.settings = Settings(home=filled.settings.home, board_host="0.0.0.0")
    transport = httpx.ASGITransport(app=create_app(filled))
    async with httpx.AsyncClient(transport=transport, base_url="http://board.intranet") as client:
        assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize("identifier", ["a/b?c#d", "..", "%2e%2e", "ünï", "日本", 'quo"te', "sp ace", "x" * 256, NASTY])
async def test_any_id_has_its_page_and_text_is_escaped(pages: Pages, identifier: str):
    article = Article(identifier, NASTY, NASTY, url="javascript:alert(3)", source=NASTY, language="en", published=NASTY)
    body = scored(article, random.Random(1), keen=1).to_bytes()
    rejected = Rejected(Article("r", NASTY, "", source=NASTY), "too_short", NASTY).to_bytes()
    pages.follower.writer.apply([record(topics.SCORED, "k", body, 0, 1), record(topics.REJECTED, "r", rejected, 0, 1)])
    async with client_of(pages) as client:
        listed = (await client.get("/")).text
        shown = await client.get(f"/article?id={quote(identifier, safe='')}")
        refused = (await client.get("/article?id=r")).text + (await client.get("/?show=rejected")).text
        searched = (await client.get(f"/?q={quote(NASTY)}")).text
        feed = (await client.get("/feeds/uplifting.json")).json()
    assert shown.status_code == 200
    assert f"/article?id={quote(identifier, safe='')}".replace("&", "&amp;") in listed
    for page in (listed, shown.text, refused, searched, *(item["content_html"] for item in feed["items"])):
        assert "<script>" not in page
        assert "<img" not in page
        assert 'href="javascript:' not in page


async def test_an_article_page_says_why(filled: Pages, client: httpx.AsyncClient):
    with sqlite3.connect(filled.history.path) as connection:
        (labelled,) = connection.execute(
            "SELECT l.id FROM labels l JOIN articles a ON a.id = l.id WHERE a.kind = 'scored' LIMIT 1"
        ).fetchone()
    page = (await client.get(f"/article?id={labelled}")).text
    for said in ("threshold of", "90% interval", "Oracle", "blockquote", "Weight", "Closed by the gate", "Release set"):
        assert said in page, said


async def test_the_flow_page_without_a_broker(client: httpx.AsyncClient):
    page = (await client.get("/flow")).text
    assert "Kafka is away" in page
    assert "not running" in page
    assert "articles.scored" in page


@pytest.mark.parametrize(("count", "known"), [(300, False), (1_500, True)], ids=["few labels", "enough labels"])
async def test_quality_has_columns_once_there_are_figures(pages: Pages, count: int, known: bool):
    pages.follower.writer.apply(list(stream(articles(count), seed=5)))
    async with client_of(pages) as client:
        page = (await client.get("/flow")).text
    assert ("Top found</th>" in page) == known
    assert ("Figures</th>" in page) != known
    assert re.search(r"after \d+ more label", page) or known
    assert bool(re.search(r"<small>\d\.\d\d to \d\.\d\d</small>", page)) == known


async def test_a_search_that_takes_too_long_is_stopped(filled: Pages, client: httpx.AsyncClient):
    filled.history.max_seconds = -1.0
    filled.history._local.__dict__.clear()
    slow = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1e8) SELECT count(*) FROM c"
    from consumers.board.queries import TooExpensive

    with pytest.raises(TooExpensive, match="took more than"):
        filled.history.rows(slow)


async def test_the_schemas_that_are_served_are_those_of_the_topics(client: httpx.AsyncClient):
    document = (await client.get("/asyncapi.json")).json()
    for topic in ("articles.raw", "articles.scored", "articles.rejected", "oracle.labels", "filters.releases"):
        schema = (await client.get(f"/schemas/{topic}.json")).json()
        assert document["components"]["messages"][topic]["payload"] == schema
