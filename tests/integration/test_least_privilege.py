"""The rights of docs/operations.md suffice: each part of the stream runs as a user that has these alone."""

import asyncio
import re
import shutil

import pytest
from aiokafka.protocol.admin import CreateAclsRequest

from consumers import runtime, topics
from consumers.repair import dead_letters, replay
from consumers.runtime import open_stream
from consumers.status import read_status
from core.errors import TransientError
from core.package import load_package
from core.topics import ORACLE_LABELS, RAW, SCORED, TOPICS
from offline.label_store import LabelStore
from producers.releases import Release, announce
from tests.chaos.worker import SlowOracle
from tests.support import kafka
from tests.support.fakes import fake_loader, write_filters
from tests.support.ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.kafka,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (kafka.SCRIPT.is_file() and shutil.which("java")),
        reason="needs Java and ../shared/kafka for a broker with SASL",
    ),
]

PASSWORD = "secret"
STAGES = ("screen", "score", "oracle", "labels")
TOPIC, GROUP, LITERAL, ALLOW = 2, 3, 3, 3
OPERATIONS = {
    "Read": 3, "Write": 4, "Create": 5, "Alter": 7, "Describe": 8, "DescribeConfigs": 10, "AlterConfigs": 11,
}  # fmt: skip


def rights() -> dict[str, list[tuple[int, str, str]]]:
    """The table of the page: (kind of resource, its name, operation) by principal."""
    page = (kafka.PROJECT / "docs" / "operations.md").read_text()
    table = page.split("### Least privilege")[1].split("|---|---|")[1].split("\n\n")[0]
    found = {}
    for row in table.strip().splitlines():
        principal, needs = (cell.strip() for cell in row.strip("|").split("|"))
        found[principal.strip("`").split()[-1]] = [right for clause in needs.split(";") for right in _clause(clause)]
    return found


def _clause(clause: str) -> list[tuple[int, str, str]]:
    operations = [word for word in re.findall(r"\w+", re.sub("`.*?`", "", clause)) if word in OPERATIONS]
    kind = GROUP if "group" in clause else TOPIC
    names = re.findall("`(.*?)`", clause)
    if "all topics" in clause:
        names = [topic.name for topic in TOPICS]
    elif "all groups" in clause:
        names = [f"stillhouse.{stage}" for stage in STAGES]
    assert operations
    return [(kind, name, operation) for name in names for operation in operations]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """An Apache Kafka that knows users, and forbids what is not granted."""
    users = ["admin", *rights(), "nobody"]
    jaas = " ".join(f'user_{user}="{PASSWORD}"' for user in users)
    settings = {
        "listener.security.protocol.map": "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.plaintext.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule "
        f'required username="admin" password="{PASSWORD}" {jaas};',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS",
    }
    address = f"127.0.0.1:{free_port(2)}"
    secured = kafka.Broker("apache", {"kafka": address}, tmp_path_factory.mktemp("secured") / "kafka")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KAFKA_EXTRA", "\n".join(f"{name}={value}" for name, value in settings.items()))
        secured.start()
    yield secured
    secured.kill()


@pytest.fixture
def as_user(broker, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    filters = (write_filters(home),)

    def settings(user: str):
        sasl = {"sasl_mechanism": "PLAIN", "sasl_username": user, "sasl_password": PASSWORD}
        return broker.settings(home, filters=filters, security_protocol="SASL_PLAINTEXT", **sasl)

    return settings


async def grant(admin) -> None:
    for principal, granted in rights().items():
        for kind, name, operation in granted:
            request = CreateAclsRequest(kind, name, LITERAL, f"User:{principal}", "*", OPERATIONS[operation], ALLOW)
            response = await admin._send_request(request)
            assert not any(code for code, _ in response.creation_responses), (principal, name, operation)


async def test_the_documented_rights_suffice(as_user, monkeypatch):
    async def oracle(settings, recorder=None):
        return SlowOracle()

    monkeypatch.setattr(runtime, "open_oracle", oracle)
    async with topics.admin_client(as_user("admin")) as admin:
        await grant(admin)
    async with topics.admin_client(as_user("apply")) as admin:
        changes = await topics.apply(admin, as_user("apply"))
        assert {change.action for change in changes} == {"create"}
        while await topics.plan(admin, as_user("apply"), TOPICS):  # brokers create in the background
            await asyncio.sleep(0.2)

    articles = [kafka.article(f"a{i}") for i in range(40)]
    await kafka.publish(as_user("producers"), [*articles, kafka.Message(RAW, b"bad", b"{no json")])
    for stage in STAGES:
        async with open_stream(as_user(stage), (stage,), fake_loader(as_user(stage))):
            while (await kafka.lag(as_user("status"), (stage,)))[stage]:
                await asyncio.sleep(0.2)
    status = await read_status(as_user("status"), 0.1)
    assert status.missing_topics == ()
    assert sum(status.records.values()) == 41
    assert await kafka.read(as_user("readers"), SCORED)
    assert await kafka.read(as_user("board"), ORACLE_LABELS)
    assert LabelStore(as_user("labels").label_store).labels()
    letters = await dead_letters(as_user("list"))
    assert [entry.letter.reason for entry in letters] == ["not_json"]
    assert await replay(as_user("replay"), letters) == 1
    package = load_package(as_user("release").filters[0] / "demo" / "v1")
    await announce(as_user("release"), [Release("demo", "v1", package.manifest_sha256)])


async def test_a_right_that_is_missing_is_named(as_user):
    with pytest.raises(TransientError, match="Not allowed: Cluster"):
        await kafka.publish(as_user("nobody"), [kafka.article("a")])
    with pytest.raises(TransientError, match="Not allowed"):
        await dead_letters(as_user("nobody"))
