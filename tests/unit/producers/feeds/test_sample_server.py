"""The demonstration's site: all its articles can be read through its feeds."""

from core.article import Article
from producers.feeds.fetch import Fetcher
from producers.feeds.parse import Source, parse_feed
from producers.feeds.sample_server import sample_feeds
from producers.feeds.schedule import HostGate

ARTICLES = [Article(f"id{number}", f"Story {number}", f"Text & more of {number}") for number in range(20)]


async def test_every_article_is_in_one_feed_and_has_a_page():
    with sample_feeds(ARTICLES) as subscriptions:
        async with Fetcher(HostGate(0), allow_private=True) as fetcher:
            entries = []
            for feed in subscriptions.feeds:
                document = await fetcher.get(feed.url)
                again = await fetcher.get(feed.url, headers={"If-None-Match": document.headers["etag"]})
                assert again.unchanged
                entries += parse_feed(document.body, Source(feed.url, document.url)).entries
            assert sorted(entry.title for entry in entries) == sorted(article.title for article in ARTICLES)
            page = await fetcher.get(entries[0].link)
            assert b"Text &amp; more of" in page.body
