"""What is remembered, and in which order."""

from dataclasses import replace

import pytest

from core.errors import StillhouseError, TransientError
from producers.feeds.compose import Composed
from producers.feeds.entry import Entry
from producers.feeds.state import KEEP_DAYS, FeedsState, find
from producers.feeds.state_file import FeedState, read_only

FEED = "https://example.org/feed"
DAY = 86_400.0


def _feed(read_at: float = 1.0, url: str = FEED, **fields) -> FeedState:
    return FeedState(url, read_at=read_at, **fields)


def _entry(*keys: str, title: str = "Title") -> Entry:
    return Entry(keys=tuple(key.ljust(32, "0") for key in keys), title=title, text="Text", categories=("c",))


def _key(name: str) -> str:
    return name.ljust(32, "0")


@pytest.fixture
def state(tmp_path):
    with FeedsState(tmp_path) as state:
        yield state


def _publish(state, feed=FEED):
    waiting = state.waiting(feed, 100)
    sent = state.freeze([Composed(item.id, b"bytes") for item in waiting if item.entry])
    state.confirm(feed, [article.id for article in sent] + [item.id for item in waiting if item.payload])
    return [article.id for article in sent]


def test_an_entry_is_new_once(state):
    assert state.admit(_feed(), [_entry("a"), _entry("b")]) == 2
    assert state.admit(_feed(), [_entry("a"), _entry("b"), _entry("c")]) == 1
    assert len(state.waiting(FEED, 10)) == 3


def test_the_entry_waits_unchanged_until_it_is_confirmed(state):
    state.admit(_feed(), [_entry("a", "b")])
    (waiting,) = state.waiting(FEED, 10)
    assert waiting.entry == _entry("a", "b")
    state.freeze([Composed(waiting.id, b"final bytes")])
    (frozen,) = state.waiting(FEED, 10)
    assert (frozen.payload, frozen.entry) == (b"final bytes", None)
    state.confirm(FEED, [frozen.id])
    assert state.waiting(FEED, 10) == []
    assert state.feed(FEED).published == 1


def test_everything_survives_a_new_process(tmp_path):
    with FeedsState(tmp_path) as state:
        state.admit(_feed(etag='"x"', failures=2), [_entry("a")])
        state.freeze([Composed(state.waiting(FEED, 1)[0].id, b"bytes")])
    with FeedsState(tmp_path) as state:
        assert state.feed(FEED).etag == '"x"'
        assert state.feed(FEED).failures == 2
        assert [item.payload for item in state.waiting(FEED, 10)] == [b"bytes"]


def test_validators_are_stored_with_the_entries_or_not_at_all(state):
    class Broken:
        keys = ("x",)
        title = None

    with pytest.raises(AttributeError):
        state.admit(_feed(etag='"new"'), [_entry("a"), Broken()])
    assert state.feed(FEED).etag is None
    assert state.waiting(FEED, 10) == []


def test_any_known_key_makes_it_the_same_story_and_its_other_keys_are_learnt(state):
    state.admit(_feed(), [_entry("url1", "guid1")])
    assert state.admit(_feed(), [_entry("url2", "guid1")]) == 0
    assert state.admit(_feed(url="https://other.org/f"), [_entry("url2")]) == 0


def test_new_guids_and_titles_under_a_constant_link_are_new_stories(state):
    def episode(guid: str, title: str) -> Entry:
        return replace(_entry("link", guid, title=title), guid_key=_key(guid))

    for read_at in (1.0, 2.0):  # the second poll knows them all
        episodes = [episode("guid1", "One"), episode("guid2", "Two"), episode("guid3", "One")]
        counts = [state.admit(_feed(read_at), [one]) for one in episodes]
        assert counts == ([1, 1, 0] if read_at == 1.0 else [0, 0, 0])
    assert len({item.id for item in state.waiting(FEED, 10)}) == 2


def test_a_page_that_names_a_published_story_of_the_same_title_is_dropped(state):
    state.admit(_feed(), [_entry("url1", title="Otters are back")])
    _publish(state)
    state.admit(_feed(), [_entry("url2", title="Otters  are Back"), _entry("url3", title="Other story")])
    second, third = state.waiting(FEED, 10)
    page = (_key("url1"),)
    sent = state.freeze([Composed(second.id, b"2", page), Composed(third.id, b"3", page)])
    assert [article.id for article in sent] == [third.id]
    assert [item.id for item in state.waiting(FEED, 10)] == [third.id]


def test_old_ids_are_forgotten_only_after_their_feed_stopped_listing_them(state):
    state.admit(_feed(read_at=0.0), [_entry("old"), _entry("listed"), _entry("silent")])
    state.admit(_feed(read_at=0.0, url="https://silent.org/f"), [_entry("away")])
    _publish(state)
    _publish(state, "https://silent.org/f")
    state.admit(_feed(read_at=(KEEP_DAYS + 1) * DAY), [_entry("listed")])
    assert state.forget_old() == 2
    assert state.admit(_feed(read_at=(KEEP_DAYS + 1) * DAY), [_entry("listed"), _entry("away")]) == 0
    assert state.admit(_feed(read_at=(KEEP_DAYS + 1) * DAY), [_entry("old")]) == 1


def test_waiting_entries_are_never_forgotten(state):
    state.admit(_feed(read_at=0.0), [_entry("a")])
    state.admit(_feed(read_at=1000 * DAY), [])
    assert state.forget_old() == 0
    assert len(state.waiting(FEED, 10)) == 1


def test_a_second_process_is_told_who_holds_the_state(tmp_path, state):
    with pytest.raises(StillhouseError, match="STILLHOUSE_HOME"):
        FeedsState(tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "feeds.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StillhouseError, match=r"feeds\.sqlite cannot be opened"):
        FeedsState(tmp_path)
    (tmp_path / "feeds.sqlite").unlink()
    FeedsState(tmp_path).__exit__(None, None, None)


def test_a_full_disk_is_transient_and_leaves_no_half_of_a_poll(state):
    state.admit(_feed(etag='"old"'), [])
    state._db.execute("pragma max_page_count = 20")
    with pytest.raises(TransientError, match="Free disk space"):
        state.admit(_feed(etag='"new"'), [_entry(f"{number}", title="x" * 2000) for number in range(100)])
    assert state.feed(FEED).etag == '"old"'
    assert state.waiting(FEED, 10) == []


def test_readers_look_without_the_lock(tmp_path, state):
    state.admit(_feed(), [_entry("a")])
    with read_only(tmp_path) as db:
        assert find(db, [_key("a")]) == _key("a")[:16]
    with read_only(tmp_path / "nothing") as db:
        assert db is None
