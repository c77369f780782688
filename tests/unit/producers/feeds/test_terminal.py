"""Tables of strangers' words: no markup, no control sequences, no line breaks."""

from producers.feeds.check import CheckedEntry, FeedCheck
from producers.feeds.compose import Draft, compose
from producers.feeds.entry import Entry
from producers.feeds.html_text import one_line
from producers.feeds.state_file import FeedState
from producers.feeds.terminal import print_check, print_status

NASTY = "[red]Sale[/red] \x1b[31m\x1b]0;owned\x07 & more\r\nnext [/bold]"


def _article(title):
    from core.article import decode_article

    return decode_article(compose([Draft("id1", Entry(("k" * 32,), title, "Text"), "Source")])[0].payload)


def test_titles_cannot_paint_or_steer_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    title = one_line(NASTY)
    check = FeedCheck("u", "rss20", title, (), 1, 0, 0.1, [CheckedEntry(_article(title), "new", "page")])
    print_check(check)
    shown = capsys.readouterr().out
    assert "[red]Sale[/red]" in shown
    assert not {"\x1b", "\x07", "\r"} & set(shown)


def test_failing_feeds_come_first_and_gone_ones_say_never(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    print_status([FeedState("good", outcome="ok"), FeedState("bad", outcome="http_500", failures=4, detail="[x]")])
    lines = capsys.readouterr().out.splitlines()
    assert "bad" in lines[1]
    assert "[x]" in lines[1]
    print_status([FeedState("dead", outcome="gone")])
    assert "never" in capsys.readouterr().out
