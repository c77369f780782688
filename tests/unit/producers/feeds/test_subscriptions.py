"""Lists in TOML and OPML; a key or value that means nothing is an error that says so."""

import pytest

from core.errors import SettingsError
from producers.feeds.cli import find_list
from producers.feeds.subscriptions import load_subscriptions

TOML = """
[defaults]
every_min = 30
tags = ["news"]

[politeness]
host_delay_sec = 2.5

[[feed]]
url = "https://example.org/rss"
name = "Example"

[[feed]]
url = "https://example.net/atom"
every_min = 5
fulltext = "never"
tags = []
"""

OPML = """<?xml version="1.0"?><opml version="2.0"><head><title>Mine</title></head><body>
<outline text="Nature"><outline text="Rivers"><outline type="rss" text="River news" xmlUrl="https://r.org/f"/></outline>
<outline type="rss" title="Otters" xmlUrl="https://o.org/f"/></outline>
<outline type="rss" text="Again" xmlUrl="https://o.org/f"/><outline text="No feed"/></body></opml>"""


@pytest.fixture
def written(tmp_path):
    def write(content: str, name: str = "feeds.toml"):
        (tmp_path / name).write_text(content)
        return tmp_path / name

    return write


def test_toml_with_defaults(written):
    listed = load_subscriptions(written(TOML))
    assert listed.politeness.host_delay_sec == 2.5
    first, second = listed.feeds
    assert (first.name, first.every_min, first.tags, first.fulltext) == ("Example", 30, ("news",), "auto")
    assert (second.every_min, second.tags, second.fulltext) == (5, (), "never")


@pytest.mark.parametrize("name", ["feeds.opml", "feeds.xml", "feeds.toml"])
def test_opml_folders_become_tags_and_each_feed_is_read_once(written, name):
    feeds = load_subscriptions(written(OPML, name)).feeds
    assert {feed.url: feed.tags for feed in feeds} == {
        "https://r.org/f": ("Nature", "Rivers"),
        "https://o.org/f": (),
    }
    assert feeds[0].name == "River news"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        pytest.param('[[feed]]\nurl = "https://a.org"\nevry_min = 5', "evry_min", id="unknown-key"),
        pytest.param('[[feeds]]\nurl = "https://a.org"', "feeds", id="unknown-table"),
        pytest.param('[[feed]]\nurl = "ftp://a.org"', "http", id="scheme"),
        pytest.param('[[feed]]\nname = "x"', "url", id="no-url"),
        pytest.param('[[feed]]\nurl = "https://a.org"\nevery_min = 0', "every_min", id="too-often"),
        pytest.param("[[feed]", "line 1", id="no-toml"),
        pytest.param("", "no feeds", id="empty"),
        pytest.param("<opml><body>", "no element found", id="broken-opml"),
        pytest.param('<!DOCTYPE x [<!ENTITY a "b">]><opml>&a;</opml>', "Entit", id="entities"),
    ],
)
def test_faults_are_named(written, content, named):
    with pytest.raises(SettingsError, match=named) as refusal:
        load_subscriptions(written(content))
    assert refusal.value.action


def test_a_missing_list_is_shown_an_example(tmp_path):
    with pytest.raises(SettingsError, match=r"\[\[feed\]\]"):
        load_subscriptions(tmp_path / "feeds.toml")


def test_the_list_is_found_in_the_home_folder(settings, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings.home.mkdir()
    (settings.home / "feeds.opml").write_text(OPML)
    assert find_list(None, settings) == settings.home / "feeds.opml"
