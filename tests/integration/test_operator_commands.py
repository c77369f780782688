"""The operator's commands as they are typed: topics, status, dead, tail."""

import json

import pytest

from consumers.runtime import open_stream
from core.topics import RAW
from tests.support.fakes import fake_loader, write_filters
from tests.support.kafka import Message, article, await_outcomes, publish


@pytest.mark.timeout(300)
async def test_a_dead_letter_from_list_to_replay(embedded, stillhouse, tmp_path):
    settings = embedded.model_copy(update={"filters": (write_filters(tmp_path),)})
    home = {"STILLHOUSE_HOME": str(settings.home)}

    def run(*arguments):
        done = stillhouse(*arguments, **home)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async with open_stream(settings, ("screen", "score"), fake_loader(settings), lanes=1):
        await publish(settings, [article("good"), Message(RAW, b"bad", b"{no json", (("from", b"a test"),))])
        await await_outcomes(settings, {b"good", b"bad"})

    assert json.loads(run("topics", "plan", "--json")) == []
    status = json.loads(run("status", "--json", "--interval-sec", "0.1"))
    assert {stage["stage"]: stage["lag"] for stage in status["stages"]}["screen"] == 0
    assert sum(status["records"].values()) == 2
    (letter,) = json.loads(run("dead", "list", "--json"))
    assert (letter["key"], letter["reason"], letter["stage"]) == ("bad", "not_json", "screen")
    shown = json.loads(run("dead", "show", letter["place"], "--json"))
    assert (shown["body"], shown["headers"]["from"]) == ("{no json", "a test")
    counts = json.loads(run("dead", "replay", "--reason", "not_json", "--dry-run", "--json"))
    assert counts == {"replayed": 0, "would_replay": 1, "not_replayable": 0}
    assert "1 dead letters replayed" in run("dead", "replay")
    assert "1 of them replayed" in run("dead", "list")
    assert json.loads(run("tail", "--from-start", "--count", "1", "--json"))["id"] == "good"


def test_no_broker_is_told_with_its_address(settings, stillhouse):
    done = stillhouse("status", STILLHOUSE_HOME=str(settings.home))
    assert done.returncode == 1
    assert f"No answer from Kafka at 127.0.0.1:{settings.port}" in done.stderr
    assert "Traceback" not in done.stderr
