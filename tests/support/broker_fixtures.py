"""Fixtures: the brokers that the delivery suite and the chaos tests run on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from tests.support import kafka
from tests.support.fakes import write_filters


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Broker]:
    """One Apache Kafka for the whole run."""
    with kafka.apache(tmp_path_factory.mktemp("kafka")) as broker:
        if broker is None:
            pytest.skip("no Apache Kafka: set STILLHOUSE_TEST_KAFKA, or have Docker, or Java and ../shared/kafka")
        yield broker


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[kafka.Broker]:
    if request.param == "apache":
        yield request.getfixturevalue("apache")
        return
    with kafka.embedded(tmp_path / "broker") as embedded:
        yield embedded


@pytest.fixture
async def stream_settings(broker: kafka.Broker, tmp_path: Path) -> Settings:
    """A machine with two fake filters and empty topics on `broker`."""
    home = tmp_path / "home"
    home.mkdir()
    settings = broker.settings(home, filters=(write_filters(home),), group_prefix=tmp_path.name)
    await kafka.fresh_topics(settings)
    return settings
