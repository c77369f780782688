"""`stillhouse publish` against the embedded broker."""

import asyncio
import json
from pathlib import Path

from consumers.kafka import browser
from core.jsonl import open_input, read_lines
from core.settings import Settings
from core.topics import RAW
from producers.publish import publish_lines, raw_producer

DEMO = Path("producers/samples/demo.jsonl")


async def on_topic(settings: Settings, count: int) -> list:
    consumer = browser(settings, RAW)
    await consumer.start()
    try:
        records = []
        while len(records) < count:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                records += batch
        return records
    finally:
        await consumer.stop()


def test_articles_are_keyed_by_id_and_bad_lines_named(embedded: Settings, stillhouse) -> None:
    run = stillhouse("publish", str(DEMO), "--json")
    report = json.loads(run.stdout)
    assert report["published"] == 117
    assert sorted(line["reason"] for line in report["refused"]) == ["not_json", "not_utf8", "wrong_type"]
    lines = DEMO.read_bytes().splitlines()
    assert all("malformed" in lines[refused["line"] - 1].decode("latin-1") for refused in report["refused"])
    records = asyncio.run(on_topic(embedded, 117))
    assert all(record.key.decode() == json.loads(record.value)["id"] for record in records)
    assert {record.value for record in records} < set(lines)


def test_stdin_is_read_and_an_article_without_id_gets_that_of_its_content(embedded: Settings, stillhouse) -> None:
    run = stillhouse("publish", "-", stdin='{"title": "No id", "text": "here"}\n')
    assert run.stdout == "1 articles published, 0 lines refused.\n"
    (record,) = asyncio.run(on_topic(embedded, 1))
    assert len(record.key) == 16


async def test_malformed_lines_travel_raw_where_asked(embedded: Settings) -> None:
    async with raw_producer(embedded) as producer:
        with open_input(str(DEMO)) as stream:
            report = await publish_lines(read_lines(stream), producer, malformed_too=True)
    assert (report.published, report.refused) == (120, [])
    records = await on_topic(embedded, 120)
    assert sum(record.key is None for record in records) == 3


def test_no_broker_is_named_with_its_address(settings: Settings, stillhouse) -> None:
    run = stillhouse("publish", str(DEMO))
    assert run.returncode == 1
    assert f"No Kafka broker answers at 127.0.0.1:{settings.port}" in run.stderr
    assert "stillhouse run" in run.stderr
    assert "Traceback" not in run.stderr
