"""`stillhouse topics`: compares the cluster with the table in core/topics.py, and makes it so."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from consumers.kafka import no_broker
from core.errors import StillhouseError
from core.kafka_options import client_options
from core.settings import Settings
from core.topics import TOPICS, Topic

_DYNAMIC_TOPIC_CONFIG = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the table and the cluster. `keep` needs a person: it is reported, never done."""

    topic: str
    action: Literal["create", "add_partitions", "configure", "keep"]
    detail: str


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client. Raises TransientError where no broker answers."""
    client = AIOKafkaAdminClient(**client_options(settings))
    try:
        try:
            await client.start()
        except (KafkaError, OSError) as error:
            raise no_broker(settings, error) from error
        yield client
    finally:
        await client.close()


async def plan(client: AIOKafkaAdminClient, settings: Settings, table: Sequence[Topic] = TOPICS) -> list[Change]:
    """What `apply` would do. The embedded broker knows no configuration, so only topics are compared there."""
    brokers = len((await client.describe_cluster())["brokers"])
    existing = await _partitions(client)
    changes = [
        Change(topic.name, "create", f"{topic.partitions} partitions, {topic.copies(brokers)} copies")
        for topic in table
        if topic.name not in existing
    ]
    if settings.embedded:
        return changes
    present = [topic for topic in table if topic.name in existing]
    configured = await _configs(client, [topic.name for topic in present])
    for topic in present:
        count = existing[topic.name]
        if count < topic.partitions:
            changes.append(Change(topic.name, "add_partitions", f"{count} -> {topic.partitions}"))
        elif count > topic.partitions:
            changes.append(Change(topic.name, "keep", f"has {count} partitions, the table says {topic.partitions}"))
        current = configured[topic.name]
        differing = {k: v for k, v in topic.configs(brokers).items() if current.get(k, ("", 0))[0] != v}
        if differing:
            detail = ", ".join(f"{k}: {current.get(k, ('unset', 0))[0]} -> {v}" for k, v in differing.items())
            changes.append(Change(topic.name, "configure", detail))
    return changes


async def apply(client: AIOKafkaAdminClient, settings: Settings, table: Sequence[Topic] = TOPICS) -> list[Change]:
    """Do what `plan` says, and return it. Never deletes; a topic that another process made meanwhile is fine."""
    brokers = len((await client.describe_cluster())["brokers"])
    by_name = {topic.name: topic for topic in table}
    changes = await plan(client, settings, table)
    for change in changes:
        topic = by_name[change.topic]
        if change.action == "create":
            await _create(client, topic, brokers, embedded=settings.embedded)
        elif change.action == "add_partitions":
            await client.create_partitions({topic.name: NewPartitions(topic.partitions)})
        elif change.action == "configure":
            await _configure(client, topic, brokers)
    return changes


async def missing(client: AIOKafkaAdminClient) -> list[str]:
    """Names of our topics that the cluster does not have."""
    existing = await _partitions(client)
    return [topic.name for topic in TOPICS if topic.name not in existing]


async def _create(client: AIOKafkaAdminClient, topic: Topic, brokers: int, *, embedded: bool) -> None:
    configs = {} if embedded else topic.configs(brokers)
    new = NewTopic(topic.name, topic.partitions, topic.copies(brokers), topic_configs=configs)
    response = await client.create_topics([new])
    for _, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise StillhouseError(
                f"Kafka did not create {topic.name}: {error.__name__} {rest[0] if rest else ''}".strip() + ".",
                action="Check the ACLs (docs/operations.md) and the broker's log.",
            )


async def _partitions(client: AIOKafkaAdminClient) -> dict[str, int]:
    names = await client.list_topics()
    ours = [topic.name for topic in TOPICS if topic.name in names]
    described = await client.describe_topics(ours) if ours else []
    return {str(topic["topic"]): len(topic["partitions"]) for topic in described if not topic["error_code"]}


async def _configs(client: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, tuple[str, int]]]:
    """Per topic: value and source of each configuration key."""
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, tuple[str, int]]] = {}
    for response in await client.describe_configs(resources):
        for _code, _message, _kind, name, entries in response.resources:
            found[name] = {entry[0]: (entry[1], _source(entry)) for entry in entries}
    return found


def _source(entry: Sequence[Any]) -> int:
    """Where the value comes from; version 0 of the protocol says only whether it is the default."""
    return int(entry[3]) if not isinstance(entry[3], bool) else (0 if entry[3] else _DYNAMIC_TOPIC_CONFIG)


async def _configure(client: AIOKafkaAdminClient, topic: Topic, brokers: int) -> None:
    """AlterConfigs replaces all of a topic's own settings, so those that others made are sent along."""
    current = (await _configs(client, [topic.name]))[topic.name]
    own = {key: value for key, (value, source) in current.items() if source == _DYNAMIC_TOPIC_CONFIG}
    await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, own | topic.configs(brokers))])
