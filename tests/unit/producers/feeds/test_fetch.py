"""Fetching ends in a document or in an outcome by name, within its limits."""

import gzip
import time

import pytest

from producers.feeds.body import Limits
from producers.feeds.errors import FetchError
from producers.feeds.fetch import Fetcher
from producers.feeds.retry_after import retry_after_sec
from producers.feeds.schedule import HostGate
from tests.support.feed_server import Reply, endless, feed_web, gzip_bomb, redirect, slow_bytes

SMALL = Limits(wire_bytes=200_000, decoded_bytes=400_000, total_sec=1.0, redirects=3)


@pytest.fixture
def web():
    with feed_web() as web:
        yield web


async def _get(url, limits=SMALL, **options):
    async with Fetcher(HostGate(0), allow_private=True) as fetcher:
        return await fetcher.get(url, limits=limits, **options)


async def test_a_document_arrives_with_its_final_address(web):
    end = web.put("/end", Reply(b"<rss/>"))
    document = await _get(web.put("/start", redirect("/end", 301)))
    assert (document.url, document.body, document.status) == (end, b"<rss/>", 200)


async def test_gzip_is_unpacked(web):
    body = b"<rss>" + b"words " * 10_000
    document = await _get(web.put("/gz", Reply(gzip.compress(body), headers={"Content-Encoding": "gzip"})))
    assert document.body == body


async def test_validators_are_sent_and_304_is_no_error(web):
    url = web.put("/feed", Reply(b"<rss/>"))
    etag = (await _get(url)).headers["etag"]
    assert (await _get(url, headers={"If-None-Match": etag})).unchanged


@pytest.mark.parametrize(
    ("route", "outcome"),
    [
        pytest.param(Reply(status=404), "http_404", id="404"),
        pytest.param(Reply(status=410), "gone", id="410"),
        pytest.param(Reply(status=402), "paywall", id="402"),
        pytest.param(Reply(status=500), "http_500", id="500"),
        pytest.param(redirect("/feed"), "redirect_loop", id="loop"),
        pytest.param(redirect("file:///etc/passwd"), "bad_url", id="file-redirect"),
        pytest.param(redirect("gopher://127.0.0.1/"), "bad_url", id="gopher-redirect"),
        pytest.param(redirect("http://user:secret@127.0.0.1/"), "bad_url", id="credentials"),
        pytest.param(redirect("http://[::1"), "bad_url", id="broken-redirect"),
        pytest.param(gzip_bomb(20), "too_large", id="bomb"),
        pytest.param(endless, "too_large", id="endless"),
        pytest.param(slow_bytes, "timeout", id="slow"),
        pytest.param(Reply(b"x" * 300_000), "too_large", id="announced-too-large"),
        pytest.param(Reply(b"no", headers={"Content-Encoding": "br"}), "bad_encoding", id="brotli"),
        pytest.param(Reply(b"no", headers={"Content-Encoding": "gzip"}), "bad_encoding", id="not-gzip"),
        pytest.param(
            Reply(gzip.compress(b"cut off" * 99)[:-9], headers={"Content-Encoding": "gzip"}),
            "broken_transfer",
            id="gzip-cut",
        ),
    ],
)
async def test_everything_else_has_a_name(web, route, outcome):
    started = time.monotonic()
    with pytest.raises(FetchError) as refusal:
        await _get(web.put("/feed", route))
    assert refusal.value.outcome == outcome
    assert time.monotonic() - started < 5


async def test_redirects_are_counted(web):
    for number in range(9):
        web.put(f"/{number}", redirect(f"/{number + 1}"))
    with pytest.raises(FetchError) as refusal:
        await _get(web.url("/0"))
    assert refusal.value.outcome == "too_many_redirects"
    assert len(web.log) == SMALL.redirects + 1


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("ftp://example.org/feed", "bad_url"),
        ("not a url", "bad_url"),
        ("http://user:secret@example.org/", "bad_url"),
        ("http://127.0.0.1:1/feed", "connect"),
        ("http://no-such-host.invalid/feed", "dns"),
    ],
)
async def test_addresses_that_cannot_be_fetched_are_named(url, outcome):
    with pytest.raises(FetchError) as refusal:
        await _get(url)
    assert refusal.value.outcome == outcome
    assert "secret" not in str(refusal.value)


async def test_a_server_without_a_valid_certificate_is_refused(web):
    with pytest.raises(FetchError) as refusal:
        await _get(web.url("/feed").replace("http://", "https://"))
    assert refusal.value.outcome == "tls"


async def test_retry_after_is_carried(web):
    url = web.put("/feed", Reply(status=429, headers={"Retry-After": "120"}))
    with pytest.raises(FetchError) as refusal:
        await _get(url)
    assert (refusal.value.outcome, refusal.value.retry_after_sec) == ("rate_limited", 120)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("30", 30),
        ("-5", None),
        ("²", None),
        ("9999999999999999", 86_400),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30),
        ("Tue, 24 Nov 2020 12:00:30 GMT", 0),
    ],
)
def test_both_forms_of_retry_after(value, seconds):
    assert retry_after_sec(value, now=1795521600.0) == seconds  # 2026-11-24 12:00 UTC
