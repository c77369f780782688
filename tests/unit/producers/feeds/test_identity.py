"""Addresses of one story share a canonical form; those of two stories never do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.feeds.entry import RawEntry
from producers.feeds.identity import canonical_url, entry_keys, readable_url

STORY = "https://www.example.org/2026/11/river-restored"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://example.org/2026/11/river-restored", id="http"),
        pytest.param("https://EXAMPLE.org:443/2026/11/river-restored/", id="port-case-slash"),
        pytest.param(f"{STORY}?utm_source=rss&utm_medium=feed&fbclid=abc", id="tracking"),
        pytest.param(f"{STORY}#comments", id="fragment"),
        pytest.param("https://amp.example.org/2026/11/river-restored", id="amp-host"),
        pytest.param(f"{STORY}/amp/", id="amp-segment"),
        pytest.param(f"{STORY}?amp=1", id="amp-parameter"),
        pytest.param(f"{STORY}?outputType=amp", id="amp-output"),
        pytest.param("https://www.google.com/amp/s/www.example.org/2026/11/river-restored", id="google-viewer"),
        pytest.param(
            "https://www-example-org.cdn.ampproject.org/c/s/www.example.org/2026/11/river-restored", id="amp-cache"
        ),
        pytest.param("https://m.example.org/2026/11/river%2Drestored", id="mobile-and-percent"),
        pytest.param("  https://www.example.org//2026/11/river-restored  ", id="spaces-and-slashes"),
    ],
)
def test_addresses_of_one_story_are_one(url):
    assert canonical_url(url) == canonical_url(STORY) == "//example.org/2026/11/river-restored"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("https://a.org/?p=1", "https://a.org/?p=2", id="query"),
        pytest.param("https://a.org/caf%E9", "https://a.org/caf%E8", id="latin-1-percent"),
        pytest.param("https://a.org/story", "https://b.org/story", id="host"),
        pytest.param("https://a.org:8080/story", "https://a.org/story", id="port"),
        pytest.param("https://a.org/#!/story/1", "https://a.org/#!/story/2", id="hash-bang"),
        pytest.param("https://a.org/ramp", "https://a.org/r", id="path-that-ends-in-amp"),
        pytest.param("https://a.org/x?id=7&lang=nl", "https://a.org/x?id=7&lang=fr", id="language"),
    ],
)
def test_two_stories_stay_two(one, other):
    assert canonical_url(one) != canonical_url(other)
    assert canonical_url(one)


@pytest.mark.parametrize(
    "url", ["", "ftp://a.org/x", "javascript:alert(1)", "https://", "https://a.org/", "http://[::1", "https://a:b/x"]
)
def test_what_names_no_story_has_no_canonical_form(url):
    assert canonical_url(url) is None


@given(st.text(max_size=200))
def test_any_text_is_survived(text):
    canonical_url(text)
    canonical_url(f"https://a.org/{text}")


@given(path=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40), query=st.text(max_size=20))
def test_canonical_form_is_stable_under_itself(path, query):
    once = canonical_url(f"https://www.example.org/x{path}?{query}")
    assert once is None or canonical_url(f"https:{once}") == once


def test_readable_url_opens_and_tells_nothing_of_the_reader():
    url = "https://www.example.org/a/?id=7&utm_source=rss&gclid=x#top"
    assert readable_url(url) == "https://www.example.org/a/?id=7"


FEED = "https://example.org/feed"


def test_a_link_that_many_entries_share_names_none_of_them():
    entries = [RawEntry(guid=f"g{n}", link="https://a.org/live", title=f"Part {n}") for n in range(3)]
    keys = entry_keys(FEED, entries)
    assert len({key[0] for key in keys}) == 3


def test_the_same_story_under_two_addresses_in_one_feed_is_one():
    entries = [
        RawEntry(guid="1", link="https://a.org/s?utm_source=x", title="Same"),
        RawEntry(guid="2", link="http://www.a.org/s", title="Same"),
    ]
    first, second = entry_keys(FEED, entries)
    assert first[0] == second[0]


def test_an_entry_is_recognised_when_its_neighbour_no_longer_shares_its_link():
    one = RawEntry(link="https://a.org/live", title="Morning")
    other = RawEntry(link="https://a.org/live", title="Evening")
    together = entry_keys(FEED, [one, other])[0]
    alone = entry_keys(FEED, [one])[0]
    assert set(together) & set(alone)


def test_guids_are_scoped_by_feed_but_addresses_are_not():
    entry = RawEntry(guid="1", link="https://a.org/s", title="T")
    here, there = entry_keys(FEED, [entry])[0], entry_keys("https://other.org/feed", [entry])[0]
    assert here[0] == there[0]
    assert here[1] != there[1]


def test_entries_without_link_and_guid_are_told_apart_by_their_text():
    keys = entry_keys(FEED, [RawEntry(title="Daily note", body=f"Day {n}") for n in range(3)])
    assert len(set(keys)) == 3
