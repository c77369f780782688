"""Feeds to articles.raw through the command, with kills: nothing lost, nothing under two ids."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from consumers.kafka import browser
from core.settings import Settings
from core.topics import RAW
from producers.feeds.state_file import read_feed, read_only
from tests.conftest import ROOT
from tests.support.feed_server import feed_web
from tests.support.feed_sites import Sites

DELAY_SEC = 0.1


async def _records(settings: Settings) -> list:
    """Everything on articles.raw."""
    consumer = browser(settings, RAW)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        records = []
        while len(records) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records += batch
        return records
    finally:
        await consumer.stop()


class Runner:
    """`stillhouse feeds run --once` in processes that may be killed; remembers the most memory they took."""

    def __init__(self, settings: Settings, sites: Sites) -> None:
        self.list = settings.home / "list.toml"
        settings.home.mkdir(exist_ok=True)
        feeds = "".join(f'[[feed]]\nurl = "{url}"\n' for url in sites.feeds)
        self.list.write_text(f"[politeness]\nhost_delay_sec = {DELAY_SEC}\n{feeds}")
        self.environment = os.environ | {
            "STILLHOUSE_PORT": str(settings.port),
            "STILLHOUSE_HOME": str(settings.home),
            "STILLHOUSE_FEEDS_ALLOW_PRIVATE": "1",
            "PYTHONPATH": str(ROOT),
        }
        self.peak_mb = 0.0

    def run(self, kill_after_sec: float | None = None, command: Sequence[str] = ("-m", "stillhouse")) -> dict | None:
        """The report of a run, or None where it was killed first."""
        arguments = [sys.executable, *command, "feeds", "run", "--once", "--json", "--feeds", str(self.list)]
        with subprocess.Popen(
            arguments, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            watch = threading.Thread(target=self._watch_memory, args=(process.pid,), daemon=True)
            watch.start()
            try:
                out, err = process.communicate(timeout=kill_after_sec or 280)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                assert kill_after_sec, "the run did not end"
                return None
            assert process.returncode in (0, -signal.SIGKILL), err
            return json.loads(out) if process.returncode == 0 else None

    def _watch_memory(self, pid: int) -> None:
        while True:
            try:
                process = psutil.Process(pid)
                family = [process, *process.children(recursive=True)]
                self.peak_mb = max(self.peak_mb, sum(one.memory_info().rss for one in family) / 2**20)
            except psutil.Error:
                return
            time.sleep(0.1)


def _check_politeness(sites: Sites) -> None:
    arrivals = defaultdict(list)
    for request in sites.web.log:
        arrivals[request.host].append(request.at)
    for host, times in arrivals.items():
        gaps = [later - earlier for earlier, later in zip(sorted(times), sorted(times)[1:], strict=False)]
        assert min(gaps, default=DELAY_SEC) >= DELAY_SEC - 0.005, f"{host} was asked after {min(gaps):.3f} s"


def _check_records(records: list, titles: set[str]) -> int:
    """Every title there, under one id and with one payload; returns how many records are repetitions."""
    payloads = defaultdict(set)
    ids = defaultdict(set)
    for record in records:
        article = json.loads(record.value)
        assert record.key.decode() == article["id"]
        payloads[article["id"]].add(record.value)
        ids[article["title"]].add(article["id"])
    assert set(ids) == titles
    assert {title: found for title, found in ids.items() if len(found) > 1} == {}
    assert {identifier for identifier, found in payloads.items() if len(found) > 1} == set()
    return len(records) - len(payloads)


def _most_copies(before: list, after: list) -> int:
    """How often the most repeated of the new records was published."""
    return max((Counter(record.key for record in after) - Counter(record.key for record in before)).values())


def _hosts(count: int) -> tuple[str, ...]:
    return tuple(f"127.0.1.{number + 1}" for number in range(count))


async def test_killed_runs_lose_nothing_and_publish_nothing_under_two_ids(embedded: Settings) -> None:
    seed = random.randrange(10_000)
    print("seed", seed)
    rng = random.Random(seed)
    with feed_web(_hosts(4)) as web:
        sites = Sites(web, _hosts(4), entries_per_feed=12)
        sites.publish(10, 0.5, hostile=("cut",))
        runner = Runner(embedded, sites)
        for _ in range(3):
            runner.run(kill_after_sec=rng.uniform(1.2, 3.5))
        runner.run()
        _check_records(await _records(embedded), sites.titles)
        before = await _records(embedded)

        sites.publish(10, 1.0, hostile=("cut",))
        runner.run()
        records = await _records(embedded)
        _check_records(records, sites.titles)
        assert _most_copies(before, records) == 1

        unchanged = runner.run()
        assert unchanged["polls"] == {"unchanged": 9, "ok": 1}
        assert len(await _records(embedded)) == len(records)
        _check_politeness(sites)


DEATHS = {
    "before-the-document-is-admitted": "FeedsState.admit = die",
    "after-the-document-is-admitted": "FeedsState.waiting = die",
    "before-the-articles-are-frozen": "FeedsState.freeze = die",
    "before-they-are-sent": "KafkaSink.publish = die",
    "between-the-broker-and-the-state": "FeedsState.confirm = die",
}


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS.keys())
async def test_a_kill_at_each_step(embedded: Settings, death: str) -> None:
    """SIGKILL at a chosen step, while the feed's text changes between two processes."""
    script = (
        "import os, signal, sys\n"
        "from producers.feeds.sink import KafkaSink\nfrom producers.feeds.state import FeedsState\n"
        "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{death}\n"
        "from stillhouse import main\nif __name__ == '__main__': main()\n"
    )
    with feed_web() as web:
        sites = Sites(web, ("127.0.0.1",), entries_per_feed=8)
        sites.publish(1, 1.0)
        runner = Runner(embedded, sites)
        dying = embedded.home / "dying.py"
        dying.write_text(script)
        assert runner.run(command=[str(dying)]) is None
        web.routes["/feed/0"] = replace(route := web.routes["/feed/0"], body=route.body.replace(b"ten", b"eleven"))
        runner.run()
        repeats = _check_records(await _records(embedded), sites.titles)
    assert repeats == (8 if "confirm" in death else 0)


def test_without_a_broker_nothing_is_lost_and_the_next_step_is_named(
    settings: Settings, stillhouse, monkeypatch
) -> None:
    with feed_web() as web:
        sites = Sites(web, ("127.0.0.1",), entries_per_feed=2)
        sites.publish(1, 1.0)
        runner = Runner(settings, sites)
        variables = runner.environment | {"STILLHOUSE_KAFKA": f"127.0.0.1:{settings.port}"}
        checked = stillhouse("feeds", "check", next(iter(sites.feeds)), "--json", **variables)
        assert [entry["outcome"] for entry in json.loads(checked.stdout)["checked"]] == ["new", "new"]
        status = stillhouse("feeds", "status", "--feeds", str(runner.list), "--json", **variables)
        assert [feed["outcome"] for feed in json.loads(status.stdout)] == ["new"]


def test_a_missing_list_is_explained(settings: Settings, stillhouse, tmp_path: Path) -> None:
    run = stillhouse("feeds", "run", "--once", "--feeds", str(tmp_path / "none.toml"))
    assert run.returncode == 1
    assert "[[feed]]" in run.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_sixty_feeds_with_six_thousand_entries_over_three_runs_with_five_kills(embedded: Settings) -> None:
    seed = random.randrange(10_000)
    rng = random.Random(seed)
    kills, repeats, started = 0, 0, time.monotonic()
    with feed_web(_hosts(12)) as web:
        sites = Sites(web, _hosts(12), entries_per_feed=100)
        sites.publish(60, 0.5)
        runner = Runner(embedded, sites)
        for share, wanted_kills in ((0.5, 3), (0.8, 2), (1.0, 0)):
            sites.publish(60, share)
            before = await _records(embedded)
            for _ in range(wanted_kills):
                kills += runner.run(kill_after_sec=rng.uniform(2.0, 9.0)) is None
            run_started = time.monotonic()
            report = runner.run()
            run_sec = time.monotonic() - run_started
            records = await _records(embedded)
            repeats = _check_records(records, sites.titles)
            print(
                f"share {share}: {len(records) - len(before)} records, last process {run_sec:.1f} s, {report['polls']}"
            )
        assert _most_copies(before, records) == 1
        _check_politeness(sites)
        conditional = sum(request.if_none_match is not None for request in web.log)
        print(
            f"seed {seed}: {len(sites.titles)} good entries, {len(records)} records, {kills} kills, {repeats} repeats, "
            f"peak {runner.peak_mb:.0f} MB, {time.monotonic() - started:.0f} s, {len(web.log)} requests, "
            f"{conditional} conditional"
        )
        assert kills == 5
        assert conditional > 0
        with read_only(embedded.state) as state:
            outcomes = {number: read_feed(state, url).outcome for url, number in sites.feeds.items()}
        hostile = [outcomes[number] for number in range(9, 60, 10)]
        assert hostile == ["entities", "too_large", "too_large", "redirect_loop", "ok", "timeout"]
        assert {outcome for number, outcome in outcomes.items() if number % 10 != 9} <= {"ok", "unchanged"}
