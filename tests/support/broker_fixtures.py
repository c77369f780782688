"""Fixtures: the brokers that the delivery suite and the chaos tests run on.

One Apache Kafka serves a whole run, and perhaps many runs. So every test of it begins with our topics made anew and
consumer groups of its own, and may leave behind what it likes.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from tests.support import kafka
from tests.support.fakes import write_filters


@pytest.fixture(scope="session")
def shared_apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Broker]:
    """One Apache Kafka for the whole run, as earlier tests left it: for the fixtures below alone."""
    with kafka.apache(tmp_path_factory.mktemp("kafka")) as broker:
        if broker is None:
            pytest.skip("no Apache Kafka: set STILLHOUSE_TEST_KAFKA, or have Docker, or Java and ../shared/kafka")
        yield broker


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[kafka.Broker]:
    """To be killed and started; `stream_settings` prepares its topics."""
    if request.param == "apache":
        yield request.getfixturevalue("shared_apache")
        return
    with kafka.embedded(tmp_path / "broker") as embedded:
        yield embedded


@pytest.fixture
async def stream_settings(broker: kafka.Broker, tmp_path: Path) -> Settings:
    """A machine with two fake filters and empty topics, on each broker in turn."""
    return await _machine(broker, tmp_path)


@pytest.fixture
async def apache_settings(shared_apache: kafka.Broker, tmp_path: Path) -> Settings:
    """The same on Apache Kafka alone."""
    return await _machine(shared_apache, tmp_path)


async def _machine(broker: kafka.Broker, folder: Path) -> Settings:
    home = folder / "home"
    home.mkdir()
    group_prefix = f"test-{uuid.uuid4().hex[:8]}"
    settings = broker.settings(home, filters=(write_filters(home),), group_prefix=group_prefix)
    await kafka.fresh_topics(settings)
    return settings
