"""One poll and the loop, against a web of feeds and a sink in memory."""

import asyncio
import json
import logging
import os
import random
import time
from dataclasses import dataclass, field, replace

import pytest

from core.article import Article
from core.errors import TransientError
from core.settings import Settings
from producers.feeds.poll import Poller
from producers.feeds.render import render
from producers.feeds.report import RunReport
from producers.feeds.service import FeedService, open_tools
from producers.feeds.state import FeedsState
from producers.feeds.subscriptions import Politeness, Subscription, Subscriptions
from producers.feeds.workers import Workers
from tests.support.feed_server import Reply, feed_web

LONG = "A long story about the river and its otters, told in full by the feed itself. " * 10


@dataclass
class MemorySink:
    """Of the next calls, `fails` end without confirmation, though Kafka may have stored what was sent."""

    sent: list[tuple[str, bytes]] = field(default_factory=list)
    fails: int = 0

    async def publish(self, articles):
        self.sent += articles
        if self.fails:
            self.fails -= 1
            raise TransientError("Kafka is away.")

    async def close(self):
        pass

    @property
    def articles(self) -> list[dict]:
        return [json.loads(payload) for _, payload in self.sent]


@pytest.fixture
def web():
    with feed_web() as web:
        yield web


@pytest.fixture
def sink():
    return MemorySink()


class InlineWorkers:
    """No process of its own: saves seconds where nothing hostile is read."""

    async def run(self, function, argument):
        return function(argument)


@pytest.fixture
def workers():
    return InlineWorkers()


@pytest.fixture
def run(tmp_path, sink, workers):
    """Runs over the given feeds once, as a new process would; returns the report."""
    settings = Settings(home=tmp_path, feeds_allow_private=True)
    politeness = Politeness(host_delay_sec=0, host_concurrency=4)

    async def run(*feeds: str | Subscription) -> RunReport:
        listed = tuple(Subscription(url=feed) if isinstance(feed, str) else feed for feed in feeds)
        subscriptions = Subscriptions(feeds=listed, politeness=politeness)
        report = RunReport()
        with FeedsState(settings.state) as state:
            async with open_tools(settings, politeness, state, sink, report) as opened:
                tools = replace(opened, workers=workers)
                await FeedService(subscriptions, tools, Poller(tools, random.Random(1))).run_once()
        return report

    return run


def _feed(*numbers: int, form: str = "rss20", text: str = LONG, url: str = "https://n.example/{}") -> Reply:
    articles = [Article(str(n), f"Story {n}", text, url.format(n), published="2026-11-20T10:00:00Z") for n in numbers]
    return Reply(render(form, "River news", "https://n.example/", articles))


async def test_new_entries_are_published_once(web, run, sink):
    url = web.put("/feed", _feed(1, 2))
    await run(url)
    web.put("/feed", _feed(3, 2, 1))
    report = await run(url)
    assert [article["title"] for article in sink.articles] == ["Story 1", "Story 2", "Story 3"]
    assert report.entry_counts == {"new": 1, "known": 2, "published": 1}
    assert {article["source"] for article in sink.articles} == {"River news"}
    assert [identifier for identifier, _ in sink.sent] == [article["id"] for article in sink.articles]


async def test_an_unchanged_feed_is_asked_conditionally(web, run, sink):
    url = web.put("/feed", _feed(1))
    await run(url)
    report = await run(url)
    assert report.polls == {"unchanged": 1}
    assert [request.status for request in web.requests("/feed")] == [200, 304]


async def test_an_edited_entry_keeps_its_first_version(web, run, sink):
    url = web.put("/feed", _feed(1))
    await run(url)
    web.put("/feed", _feed(1, text=LONG + "Corrected."))
    await run(url)
    assert len(sink.sent) == 1


async def test_what_kafka_did_not_confirm_is_sent_again_as_the_same_bytes(web, run, sink):
    url = web.put("/feed", _feed(1, 2))
    sink.fails = 1
    with pytest.raises(TransientError):
        await run(url)
    web.put("/feed", _feed(1, 2, text=LONG + "Edited meanwhile."))
    await run(url)
    assert sink.sent[:2] == sink.sent[2:]
    assert len(sink.sent) == 4


@pytest.mark.parametrize("listed", ["/a", "/b"], ids=["its-feed-is-away", "its-feed-left-the-list"])
async def test_what_was_admitted_is_published_though(web, run, sink, listed):
    web.put("/b", _feed())
    sink.fails = 1
    with pytest.raises(TransientError):
        await run(web.put("/a", _feed(1)))
    sink.sent.clear()
    web.put("/a", Reply(status=500))
    await run(web.url(listed))
    assert [article["title"] for article in sink.articles] == ["Story 1"]


async def test_one_story_in_many_feeds_and_addresses_is_one_article(web, run, sink):
    feeds = [
        web.put("/a", _feed(1, url="https://n.example/s/{}")),
        web.put("/b", _feed(1, form="atom", url="http://www.n.example/s/{}?utm_source=b")),
        web.put("/c", _feed(1, form="json", url="https://n.example/s/{}/amp/")),
    ]
    await run(*feeds)
    assert len(sink.sent) == 1


async def test_a_page_that_names_a_known_story_is_not_published_again(web, run, sink):
    page = f'<link rel="canonical" href="/s/1"><article><p>{LONG}</p></article>'.encode()
    web.put("/s/1", Reply(page, "text/html"))
    web.put("/short/xyz1", Reply(page, "text/html"))
    await run(web.put("/a", _feed(1, text="Teaser", url=web.url("/s/{}"))))
    report = await run(web.put("/b", _feed(1, text="Teaser", url=web.url("/short/xyz{}"))))
    assert len(sink.sent) == 1
    assert report.entry_counts["same_story"] == 1


async def test_teasers_get_their_page_where_robots_txt_allows(web, run, sink):
    web.put("/robots.txt", Reply(b"User-agent: *\nDisallow: /closed", "text/plain"))
    for path in ("/open/1", "/closed/2"):
        web.put(path, Reply(f"<html><body><article><p>{LONG}</p></article></body></html>".encode(), "text/html"))
    await run(web.put("/a", _feed(1, text="Teaser", url=web.url("/open/{}"))))
    await run(web.put("/b", _feed(2, text="Teaser", url=web.url("/closed/{}"))))
    assert [article["text"] for article in sink.articles] == [LONG.strip(), "Teaser"]
    assert web.requests("/closed/2") == []


async def test_gone_feeds_are_not_asked_again(web, run):
    url = web.put("/feed", Reply(status=410))
    assert (await run(url)).polls == {"gone": 1}
    assert (await run(url)).polls == {"gone": 1}
    assert len(web.requests("/feed")) == 1


async def test_a_failing_feed_is_slowed_and_named_and_the_others_are_not(web, run, sink, caplog):
    bad, good = web.put("/bad", Reply(b"<html>no</html>")), web.put("/good", _feed(1))
    report = await run(bad, good)
    assert report.failing.keys() == {bad}
    assert report.polls == {"not_a_feed": 1, "ok": 1}
    report = await run(bad, good)
    assert report.polls == {"backing_off": 1, "unchanged": 1}
    assert len(web.requests("/bad")) == 1


async def test_retry_after_holds_for_the_whole_host(web, run):
    busy = web.put("/busy", Reply(status=429, headers={"Retry-After": "60"}))
    other = web.put("/other", _feed(1))
    report = await run(Subscription(url=busy, every_min=1), other)
    assert report.polls["rate_limited"] == 1
    report = await run(busy)
    assert report.polls == {"backing_off": 1}


async def test_a_damaged_document_is_read_again_though_it_is_unchanged(web, run, sink):
    whole = _feed(1, 2)
    url = web.put("/feed", Reply(whole.body[: whole.body.rindex(b"<guid")]))
    await run(url)
    await run(url)
    assert [request.if_none_match for request in web.requests("/feed")] == [None, None]
    assert [article["title"] for article in sink.articles] == ["Story 1"]


class TestInWorkerProcesses:
    @pytest.fixture
    def workers(self):
        return Workers(cpu_sec=1.0)

    async def test_a_document_that_takes_too_long_to_read_is_given_up(self, web, run, sink):
        slow = web.put("/slow", Reply(b"<rss version='2.0'><channel><item><title>" + b"<a>" * 2_000_000))
        good = web.put("/good", _feed(1))
        assert (await run(slow, good)).polls == {"parse_timeout": 1, "ok": 1}

    async def test_a_page_that_kills_the_worker_leaves_the_teaser(self, web, run, sink, monkeypatch):
        monkeypatch.setattr("producers.feeds.poll.compose", _die)
        web.put("/s/1", Reply(b"<p>page</p>", "text/html"))
        await run(web.put("/feed", _feed(1, text="Teaser", url=web.url("/s/{}"))))
        assert [article["text"] for article in sink.articles] == ["Teaser"]


def _die(_):
    os._exit(1)


async def test_the_loop_polls_as_feeds_become_due_and_ends_when_cancelled(web, tmp_path, sink):
    settings = Settings(home=tmp_path, feeds_allow_private=True)
    url = web.put("/feed", _feed(1))
    feeds = Subscriptions(feeds=(Subscription(url=url, every_min=1),), politeness=Politeness(host_delay_sec=0))
    with FeedsState(settings.state) as state:
        async with open_tools(settings, feeds.politeness, state, sink, RunReport()) as tools:
            tools = replace(tools, workers=InlineWorkers())
            service = FeedService(feeds, tools, Poller(tools, random.Random(1)))
            task = asyncio.create_task(service.run())
            await _until(lambda: len(sink.sent) == 1)
            web.put("/feed", _feed(1, 2))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert 50 < state.feed(url).next_poll - time.time() <= 60
    assert len(web.requests("/feed")) == 1


async def test_a_fault_of_ours_stays_with_its_feed(web, run, sink, monkeypatch, caplog):
    from producers.feeds import poll

    real = poll.read_feed_document

    async def faulty(workers, feed, document):
        if feed.url.endswith("/odd"):
            raise RuntimeError("a bug")
        return await real(workers, feed, document)

    monkeypatch.setattr(poll, "read_feed_document", faulty)
    with caplog.at_level(logging.ERROR, "stillhouse.feeds"):
        report = await run(web.put("/odd", _feed(1)), web.put("/good", _feed(2)))
    assert report.polls == {"internal_error": 1, "ok": 1}
    assert "a bug" in caplog.text


async def _until(condition, timeout_sec=10.0):
    deadline = time.monotonic() + timeout_sec
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)
