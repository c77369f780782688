"""What the pages name exists: commands with their options, settings, and lists of feeds.

Blocks marked `bash` run (test_documented_snippets.py); this holds those that cannot, such as `console`, and prose.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

import stillhouse
from core.origins import describe
from core.settings import Settings
from producers.feeds.subscriptions import load_subscriptions
from tests.docs.test_documented_snippets import ROOT, name

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CALL = re.compile(r"(?:^|[\s`$(])stillhouse((?: +[^\s`|&;)]+)+)", re.MULTILINE)
CODE = re.compile(r"^```(?:console|bash|)\n(.*?)^```$|^    (?=\S)([^\n]*)$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
SETTING = re.compile(r"\bSTILLHOUSE_[A-Z_]+\b")
ELSEWHERE = re.compile(r"STILLHOUSE_(TEST_\w+|$)")
"""Variables of the tests, and the prefix alone."""


def code(page: Path) -> Iterator[str]:
    for parts in CODE.findall(page.read_text(encoding="utf-8")):
        yield "\n".join(line for line in "".join(parts).splitlines() if not line.startswith("#"))


def calls() -> list[tuple[str, str]]:
    found = [(name(page), call) for page in PAGES for text in code(page) for call in CALL.findall(text)]
    return sorted({(page, " ".join(call.split())) for page, call in found})


def options_of(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.fixture(scope="module")
def root() -> click.Command:
    return typer.main.get_command(stillhouse.build_app())


@pytest.mark.parametrize(("page", "call"), calls(), ids=lambda value: value.replace(" ", "_")[:60])
def test_a_documented_call_names_a_command_and_its_options(root: click.Command, page: str, call: str) -> None:
    command = root
    for word in call.split():
        if word.startswith("#"):
            break
        if word.startswith("-"):
            given = word.rstrip(".,").split("=")[0]
            assert given in options_of(command) | {"--help", "-h", "-"}, f"{page}: stillhouse {call}"
        elif hasattr(command, "commands"):
            following = [part for part in re.split(r"[,|]", word) if part]
            assert set(following) <= set(command.commands), f"{page}: stillhouse {call}"
            command = command.commands[following[0]]


def test_many_calls_are_documented() -> None:
    assert len(calls()) > 40


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_variable_on_a_page_is_a_setting(page: Path) -> None:
    known = {value.variable for value in describe(Settings())}
    named = set(SETTING.findall(page.read_text(encoding="utf-8")))
    assert {variable for variable in named if not ELSEWHERE.match(variable)} <= known


def test_the_list_of_feeds_on_its_page_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs" / "feeds.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "feeds.toml").write_text(block)
    (feed,) = load_subscriptions(tmp_path / "feeds.toml").feeds
    assert (feed.name, feed.every_min, feed.tags) == ("Example", 30, ("rivers",))
