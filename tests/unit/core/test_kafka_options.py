"""Settings become the connection arguments of aiokafka, and faulty ones are named."""

import inspect
import ssl
import sys

import pytest

from core.errors import SettingsError
from core.kafka_options import client_options
from core.settings import load_settings

SASL = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "reader", "sasl_password": "s3cret"}


def test_plaintext_names_the_broker_alone():
    options = client_options(load_settings(kafka="broker:9092"))
    assert options == {"bootstrap_servers": "broker:9092", "security_protocol": "PLAINTEXT"}


def test_ssl_verifies_the_broker():
    context = client_options(load_settings(security_protocol="SSL"))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_sasl_passes_the_credentials(protocol):
    options = client_options(load_settings(security_protocol=protocol, **SASL))
    assert options["sasl_plain_password"] == "s3cret"
    assert options["sasl_plain_username"] == "reader"
    assert ("ssl_context" in options) is (protocol == "SASL_SSL")


def test_every_option_is_an_argument_of_aiokafka():
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    options = set(client_options(load_settings(security_protocol="SASL_SSL", **SASL)))
    for client in (AIOKafkaProducer, AIOKafkaConsumer):
        assert options <= set(inspect.signature(client).parameters)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"security_protocol": "SASL_SSL"}, "STILLHOUSE_SASL_USERNAME", id="no-credentials"),
        pytest.param({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "OAUTH_HOOK", id="oauth"),
        pytest.param({"security_protocol": "SSL", "ssl_ca": "/nowhere/ca.pem"}, "STILLHOUSE_SSL_CA", id="missing-ca"),
    ],
)
def test_faulty_settings_name_the_next_step(values, named):
    with pytest.raises(SettingsError, match=named):
        client_options(load_settings(**values))


class Tokens:
    """What an operator's own token provider looks like."""

    async def token(self) -> str:
        return "short-lived"


def test_the_oauth_hook_makes_the_token_provider(monkeypatch):
    monkeypatch.setitem(sys.modules, "operator_tokens", sys.modules[__name__])
    settings = load_settings(
        security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", sasl_oauth_hook="operator_tokens:Tokens"
    )
    assert isinstance(client_options(settings)["sasl_oauth_token_provider"], Tokens)
