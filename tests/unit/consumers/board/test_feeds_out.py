import random
from dataclasses import replace
from pathlib import Path

import feedparser
import httpx
import pytest
from lxml import etree

from consumers.board.pages import Pages
from core import topics
from core.article import Article
from tests.support.board_records import record, scored
from tests.unit.consumers.board.conftest import client_of

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("atom.rng")))
FEED = "/feeds/uplifting.atom?tier=medium"


async def test_atom_is_valid_and_says_score_and_reason(client: httpx.AsyncClient):
    answer = await client.get(FEED)
    assert answer.headers["content-type"].startswith("application/atom+xml")
    SCHEMA.assertValid(etree.fromstring(answer.content))
    parsed = feedparser.parse(answer.content)
    assert not parsed.bozo
    assert parsed.entries
    for entry in parsed.entries:
        assert [link.rel for link in entry.links] == ["alternate", "related"]
        assert {tag.term for tag in entry.tags} & {"tier:medium", "tier:high"}
        assert "Uplifting: " in entry.summary
        assert "threshold of" in entry.summary or "caps the score" in entry.summary
        assert entry.link.startswith("https://news.example/")
        assert entry.id.startswith("urn:uuid:")


async def test_json_feed_has_the_same_entries(client: httpx.AsyncClient):
    atom = feedparser.parse((await client.get(FEED)).content)
    answer = await client.get(FEED.replace(".atom", ".json"))
    feed = answer.json()
    assert answer.headers["content-type"].startswith("application/feed+json")
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert [item["id"] for item in feed["items"]] == [entry.id for entry in atom.entries]
    for item in feed["items"]:
        assert 4 <= item["_stillhouse"]["weighted"] <= 10
        assert all(item[name] for name in ("content_html", "title", "url"))


async def test_entries_are_those_of_tier_and_language(client: httpx.AsyncClient):
    feed = (await client.get("/feeds/belonging.json?tier=high&language=el&limit=200")).json()
    assert feed["items"]
    assert {item["language"] for item in feed["items"]} == {"el"}
    assert {item["_stillhouse"]["tier"] for item in feed["items"]} == {"high"}
    assert len((await client.get("/feeds/belonging.json?limit=3")).json()["items"]) == 3


async def test_conditional_requests(filled: Pages, client: httpx.AsyncClient):
    first = await client.get(FEED)
    tag, changed = first.headers["etag"], first.headers["last-modified"]
    for headers in (
        {"if-none-match": tag}, {"if-none-match": f'"other", W/{tag}'}, {"if-none-match": "*"},
        {"if-modified-since": changed},
    ):  # fmt: skip
        answer = await client.get(FEED, headers=headers)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag), headers
    for headers in (
        {"if-none-match": '"other"'}, {"if-modified-since": "Mon, 01 Jan 2024 00:00:00 GMT"},
        {"if-modified-since": "yesterday"}, {"if-none-match": '"other"', "if-modified-since": changed},
    ):  # fmt: skip
        assert (await client.get(FEED, headers=headers)).status_code == 200, headers
    article = Article("new", "A new one", "text", language="en")
    verdict = next(s for s in (scored(article, random.Random(i), keen=1) for i in range(99))
                   if s.filters["uplifting"].tier == "high")  # fmt: skip
    filled.follower.writer.apply([record(topics.SCORED, "new", verdict.to_bytes(), 1, 2_000_000_000_000)])
    answer = await client.get(FEED, headers={"if-none-match": tag})
    assert answer.status_code == 200
    assert feedparser.parse(answer.content).entries[0].title == "A new one"


async def test_the_same_article_keeps_its_id_over_releases_and_boards(pages: Pages):
    article, rng = Article("a", "Title", "text"), random.Random(3)
    ids = set()
    for offset, releases in enumerate(("1" * 64, "2" * 64)):
        verdict = replace(scored(article, rng, keen=1), releases=releases)
        pages.follower.writer.apply([record(topics.SCORED, "a", verdict.to_bytes(), offset, offset)])
        for base in ("http://127.0.0.1:8600", "http://localhost:9999"):
            async with client_of(pages) as client:
                feed = (await client.get(f"{base}/feeds/uplifting.json")).json()
            ids |= {item["id"] for item in feed["items"]}
    assert len(ids) == 1


@pytest.mark.parametrize(
    "article",
    [
        Article("control", "a\x00b\x0b\x1f\ufffe c", "d\x08\ud7ff", source="\x01"),
        Article("untitled", "", "only text"),
        Article("markup", "<b>&amp; ]]> <!--", "<script>x</script>", source="<>&\"'"),
        Article("future", "Dates", "x", published="2099-01-01T00:00:00Z"),
        Article("past", "Dates", "x", published="1970-01-01"),
        Article("no date", "Dates", "x", published="yesterday"),
        Article("script link", "Links", "x", url="javascript:alert(1)"),
        Article("broken link", "Links", "x", url="http://a b\n<c>"),
        Article("emoji 🎷", "🎷 Jazz", "Ω", language="xx-nonsense"),
    ],
    ids=lambda article: article.id,
)
async def test_any_article_gives_a_valid_feed(pages: Pages, article: Article):
    body = scored(article, random.Random(2)).to_bytes()
    pages.follower.writer.apply([record(topics.SCORED, "k", body, 0, 1_764_000_000_000)])
    async with client_of(pages) as client:
        answer = await client.get("/feeds/uplifting.atom")
        feed = (await client.get("/feeds/uplifting.json")).json()
    tree = etree.fromstring(answer.content)
    SCHEMA.assertValid(tree)
    assert not feedparser.parse(answer.content).bozo
    assert len(feed["items"]) == 1
    assert feed["items"][0]["url"].startswith(("http://", "https://"))
    dates = tree.xpath("//a:published/text()", namespaces={"a": "http://www.w3.org/2005/Atom"})
    assert dates == (["1970-01-01T00:00:00+00:00"] if article.id == "past" else [])


async def test_an_empty_feed_is_valid(pages: Pages):
    async with client_of(pages) as client:
        pages.follower.writer.apply([record(topics.SCORED, "k", scored(Article("a", "T", "x"), random.Random(2), keen=0)
                                            .to_bytes(), 0, 1)])  # fmt: skip
        answer = await client.get("/feeds/uplifting.atom?tier=high")
    SCHEMA.assertValid(etree.fromstring(answer.content))
    assert feedparser.parse(answer.content).entries == []
