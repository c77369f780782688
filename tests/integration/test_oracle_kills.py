"""The oracle stage is killed twenty times while calls are under way: nothing is lost and nothing is paid twice."""

import multiprocessing
import random
import time
from collections import defaultdict
from pathlib import Path

import orjson
import pytest

from core.article import Article
from core.messages import Labelled, OracleAsk, OracleRequest
from tests.support.fake_gemini import Rates, fake_gemini
from tests.support.oracle_worker import work

KILLS = 20
REQUESTS = 400
MOST_CALLS_PER_LIFE = 15


def text(number: int) -> str:
    return f"Article {number} tells of a river that was cleaned."


def request(number: int) -> bytes:
    filters = {name: OracleAsk("v1", "audit", 0.5, 4.0, "scorer") for name in ("demo", "other")}
    return OracleRequest(Article(f"id{number}", "", text(number)), filters, "set").to_bytes()


@pytest.mark.timeout(1800)
def test_twenty_kills_lose_nothing_and_pay_nothing_twice(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    (tmp_path / "requests").write_bytes(b"\n".join(map(request, range(REQUESTS))))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.support.oracle_worker", "google.genai", "httpx"])
    kills = 0
    with fake_gemini(rates=Rates(), speed=20.0, seed=seed) as fake:
        while True:
            process = processes.Process(target=work, args=(fake.url, str(tmp_path)))
            process.start()
            if kills == KILLS:
                process.join()
                break
            wanted = fake.calls.total() + rng.randint(1, MOST_CALLS_PER_LIFE)
            while fake.calls.total() < wanted and process.is_alive():
                time.sleep(0.005)
            time.sleep(rng.random() * 0.3)
            process.kill()
            process.join()
            kills += 1
    assert process.exitcode == 0
    ends = defaultdict(set)
    for line in (tmp_path / "outcomes").read_bytes().splitlines():
        outcome = orjson.loads(line)
        ends[outcome["request"]].add(outcome.get("label") or outcome["dead"])
    labels = {number: end for number, (end,) in ends.items() if end.startswith("{")}
    dead = [end for number, (end,) in ends.items() if number not in labels]
    print(f"{len(labels)} labels, {len(dead)} dead letters, {fake.calls.total()} calls, {fake.good.total()} answers")
    assert set(ends) == set(range(REQUESTS)), "a request has no end"
    assert max(fake.good.values()) == 1, "an answer was paid twice"
    assert set(dead) <= {"interrupted", "connection_lost", "not_json", "timeout"}
    for number, label in labels.items():
        assert set(Labelled.from_bytes(label.encode()).labels) == {"demo", "other"}
        assert fake.good[text(number)] == 1
