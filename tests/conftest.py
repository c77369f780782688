"""Fixtures that several suites share."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from tests.support import ports

ROOT = Path(__file__).resolve().parent.parent
SUITES = ("chaos", "browser", "slow")
"""Suites with a make target of their own."""

collect_ignore = [] if importlib.util.find_spec("playwright") else ["browser"]
"""The browser suite imports Playwright, which `make browser` installs."""

_not_run: Counter[str] = Counter()

KEPT_VARIABLES = {"STILLHOUSE_HOME", "STILLHOUSE_TEST_KAFKA"}
"""Weights are converted once per machine, so tests use the home of the environment unless they ask for their own."""


def pytest_deselected(items: list[pytest.Item]) -> None:
    _not_run.update(suite for item in items for suite in SUITES if item.get_closest_marker(suite))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out, so that nobody takes it for tested."""
    if collect_ignore:
        terminalreporter.write_line("not run: the browser suite, Playwright is not installed (make browser)")
    for suite, count in sorted(_not_run.items()):
        terminalreporter.write_line(f"not run: {count} of the {suite} suite (make {suite})")


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if (name.startswith("STILLHOUSE_") and name not in KEPT_VARIABLES) or name == "GEMINI_API_KEY":
            monkeypatch.delenv(name)


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


@pytest.fixture
def settings(tmp_path: Path, free_port: int) -> Settings:
    """Settings of a machine of its own: empty home, and a free port for the embedded broker."""
    return Settings(home=tmp_path / "home", port=free_port)


@pytest.fixture
def embedded(settings: Settings) -> Iterator[Settings]:
    """The same, with the embedded broker running and every topic made."""
    import asyncio

    from consumers.embedded import embedded_broker
    from consumers.topics import admin_client, apply

    async def make_topics() -> None:
        async with admin_client(settings) as client:
            await apply(client, settings)

    with embedded_broker(settings):
        asyncio.run(make_topics())
        yield settings


Stillhouse = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def stillhouse(settings: Settings) -> Stillhouse:
    """Runs the command in a process of its own, with `settings`' port; keyword arguments are more variables."""

    def run(*arguments: str, stdin: str | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"STILLHOUSE_PORT": str(settings.port)} | variables
        return subprocess.run(
            [sys.executable, "-m", "stillhouse", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            env=environment,
        )

    return run
