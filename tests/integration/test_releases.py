"""Releases reach a running stream: no article lost, none scored by a mixture of two sets, no pause worth the name."""

import asyncio
import time
from collections import Counter, defaultdict
from itertools import pairwise

import orjson
import pytest

from consumers.runtime import open_stream
from core.package import load_package
from core.topics import REJECTED, SCORED
from front.release_view import release_rows
from producers.releases import Release, announce
from tests.support import kafka
from tests.support.fakes import fake_loader
from tests.support.specs import write_package

ARTICLES = 2_000
PART = 50
VERSIONS = ("v2", "v3", "v4")


async def publish_under_load(settings, releases) -> None:
    """The first half in quiet; then a release after every sixth of the rest."""
    waiting = list(releases)
    for start in range(0, ARTICLES, PART):
        await kafka.publish(settings, [kafka.article(f"id{number}") for number in range(start, start + PART)])
        if waiting and start >= ARTICLES // 2 and (start - ARTICLES // 2) % (ARTICLES // 8) == 0:
            await announce(settings, [waiting.pop(0)])
        await asyncio.sleep(0.25)


@pytest.mark.timeout(280)
async def test_three_releases_while_two_thousand_articles_pass(stream_settings):
    settings = stream_settings
    root = settings.filters[0]
    folders = {v: write_package(root, "demo", v, gate={"threshold": 0.1 * int(v[1:])}) for v in VERSIONS}
    releases = [Release("demo", v, load_package(folder).manifest_sha256) for v, folder in folders.items()]
    async with open_stream(settings, ("screen", "score"), fake_loader(settings), lanes=1):
        await publish_under_load(settings, releases)
        await kafka.await_outcomes(settings, {f"id{number}".encode() for number in range(ARTICLES)}, timeout_sec=200)
        await asyncio.sleep(2)
        await kafka.publish(settings, [kafka.article(f"id{ARTICLES}")])
        await kafka.await_outcomes(settings, {f"id{ARTICLES}".encode()})
    records = await kafka.read(settings, SCORED, REJECTED)
    bodies = [orjson.loads(record.body) for record in records]
    assert Counter(body["id"] for body in bodies) == {f"id{number}": 1 for number in range(ARTICLES + 1)}

    scored = [(r.timestamp_ms, body) for r, body in zip(records, bodies, strict=True) if r.topic == SCORED]
    versions_of_set = defaultdict(set)
    for _, body in scored:
        versions_of_set[body["releases"]].add(tuple(sorted((n, f["version"]) for n, f in body["filters"].items())))
    assert all(len(versions) == 1 for versions in versions_of_set.values())
    assert {dict(next(iter(v)))["demo"] for v in versions_of_set.values()} >= {"v1", "v4"}

    times = sorted(at for at, _ in scored)
    middle = times[len(times) // 2]
    quiet, busy = [b - a for a, b in pairwise(times) if b <= middle], [b - a for a, b in pairwise(times) if a >= middle]
    print(f"longest gap between two scored records: quiet {max(quiet)} ms, with three releases {max(busy[:-1])} ms")
    rows, note = await release_rows(settings)
    assert note is None
    assert {row["filter"]: (row["configured"], row["announced"]) for row in rows}["demo"] == ("v1", "v4")


async def test_an_announcement_without_a_broker_says_how_to_repeat_it(tmp_path):
    from core.errors import TransientError
    from core.settings import load_settings

    settings = load_settings(home=tmp_path, port=kafka.free_port())
    started = time.monotonic()
    with pytest.raises(TransientError, match="releases --announce"):
        await announce(settings, [Release("demo", "v2", "0" * 64)])
    assert time.monotonic() - started < 30
