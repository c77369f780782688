"""What is told of a request that Kafka did not answer, or refused."""

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, TopicAuthorizationFailedError

from consumers.kafka import no_broker
from core.settings import load_settings


@pytest.mark.parametrize(
    ("error", "said", "next_step"),
    [
        pytest.param(KafkaConnectionError("refused"), "No answer from Kafka at broker:9092", "Start the", id="away"),
        pytest.param(ConnectionResetError("reset"), "No answer from Kafka at broker:9092", "Start the", id="reset"),
        pytest.param(GroupAuthorizationFailedError("g"), "Not allowed: .*Group", "docs/operations.md", id="group"),
        pytest.param(TopicAuthorizationFailedError("t"), "Not allowed: .*Topic", "docs/operations.md", id="topic"),
    ],
)
def test_the_message_names_the_cause_and_the_next_step(error, said, next_step):
    with pytest.raises(Exception, match=said) as raised:
        raise no_broker(load_settings(kafka="broker:9092"), error)
    assert next_step in raised.value.action
