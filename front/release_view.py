"""What `stillhouse releases` shows: configured, announced and scoring versions side by side."""

from collections.abc import Mapping
from typing import Any

import orjson
from aiokafka import TopicPartition

from consumers.active import Announcement
from consumers.reading import end_offsets, read_to_end, reader
from consumers.records import Record
from consumers.topics import admin_client
from core.errors import RefusedRecord, StillhouseError
from core.inventory import activation, list_entries
from core.package import MANIFEST
from core.settings import Settings
from core.topics import RELEASES, SCORED


async def release_rows(settings: Settings) -> tuple[list[dict[str, Any]], str | None]:
    """One row per filter with a model or an announcement; a note where Kafka could not be asked."""
    configured = activation(settings.filters).filters
    announced: Mapping[str, str] = {}
    scoring: Mapping[str, str] = {}
    note = None
    try:
        announced = await announced_versions(settings)
        scoring = await scoring_versions(settings)
    except StillhouseError as error:
        note = f"Running consumers are unknown: {error}"
    versions: dict[str, list[str]] = {}
    for entry in list_entries(settings.filters):
        if entry.kind == "filter" and not entry.shadowed and (entry.folder / MANIFEST).is_file():
            versions.setdefault(entry.name, []).append(entry.version)
    names = sorted({*configured, *announced, *scoring, *versions})
    rows = [
        {
            "filter": name,
            "configured": configured.get(name),
            "announced": announced.get(name),
            "scoring": scoring.get(name),
            "versions": versions.get(name, []),
        }
        for name in names
    ]
    return rows, note


async def announced_versions(settings: Settings) -> dict[str, str]:
    """Last announcement of each name that was not withdrawn."""
    versions: dict[str, str] = {}

    def take(record: Record) -> None:
        try:
            announcement = Announcement.from_record(record.key, record.value)
        except RefusedRecord:
            return  # the consumers ignore it too, and log it
        versions[announcement.name] = announcement.version

    async with reader(settings, RELEASES) as consumer:
        await read_to_end(consumer, take)
    return {name: version for name, version in versions.items() if version}


async def scoring_versions(settings: Settings) -> dict[str, str]:
    """Versions by filter in the record scored last."""
    last: Record | None = None

    def take(record: Record) -> None:
        nonlocal last
        if last is None or record.timestamp_ms >= last.timestamp_ms:
            last = record

    async with admin_client(settings) as admin, reader(settings) as consumer:
        (described,) = await admin.describe_topics([SCORED])
        partitions = [TopicPartition(SCORED, entry["partition"]) for entry in described["partitions"]]
        ends = await end_offsets(settings, consumer, partitions)
        filled = [partition for partition in partitions if ends[partition]]
        if not filled:
            return {}
        consumer.assign(filled)
        for partition in filled:
            consumer.seek(partition, max(0, ends[partition] - 1))
        await read_to_end(consumer, take)
    if last is None:
        return {}
    return {name: result["version"] for name, result in orjson.loads(last.body)["filters"].items()}
