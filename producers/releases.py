"""Announces releases on filters.releases: running consumers load them and switch between two batches."""

from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from core.errors import TransientError
from core.kafka_options import client_options
from core.messages import SCHEMA, encode
from core.settings import Settings
from core.topics import RELEASES


class Release(NamedTuple):
    """A version to be used, with the sha256 of its manifest: a machine whose files differ refuses it."""

    name: str
    version: str
    sha256: str

    def to_bytes(self) -> bytes:
        return encode({"schema": SCHEMA, "name": self.name, "version": self.version, "sha256": self.sha256})


async def announce(settings: Settings, releases: Sequence[Release]) -> None:
    """Publish and await the confirmations; the topic is compacted by name, so the last word stays.

    Raises:
        TransientError: no broker answered or confirmed.
    """
    producer = AIOKafkaProducer(
        **client_options(settings), acks="all", request_timeout_ms=10_000, enable_idempotence=not settings.embedded
    )
    try:
        await producer.start()
        for release in releases:
            await producer.send_and_wait(RELEASES, release.to_bytes(), key=release.name.encode())
    except (KafkaError, OSError) as error:
        raise TransientError(
            f"Not announced: Kafka at {settings.bootstrap} does not answer ({error}).",
            action="Announce it when the broker is up: `stillhouse releases --announce`.",
        ) from error
    finally:
        await producer.stop()
