"""How every Kafka client of ours connects: the settings as aiokafka's keyword arguments, without importing it."""

import importlib
import ssl
from typing import Any

from core.errors import SettingsError
from core.settings import Settings


def client_options(settings: Settings) -> dict[str, Any]:
    """Address and security of a producer, consumer or admin client of aiokafka.

    Raises:
        SettingsError: SASL without its mechanism or credentials, or certificate files that do not load.
    """
    protocol = settings.security_protocol
    options: dict[str, Any] = {"bootstrap_servers": settings.bootstrap, "security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = ssl_context(settings)
    if protocol.startswith("SASL"):
        options |= _sasl(settings)
    return options


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """Verifies the broker against `ssl_ca`, else the system's authorities; presents `ssl_cert` where it is set."""
    try:
        context = ssl.create_default_context(cafile=str(settings.ssl_ca) if settings.ssl_ca else None)
        if settings.ssl_cert:
            context.load_cert_chain(settings.ssl_cert, settings.ssl_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"The TLS files of Kafka do not load: {error}.",
            action="Check STILLHOUSE_SSL_CA, STILLHOUSE_SSL_CERT and STILLHOUSE_SSL_KEY (PEM files).",
        ) from None
    return context


def _sasl(settings: Settings) -> dict[str, Any]:
    if settings.sasl_mechanism == "OAUTHBEARER":
        return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": _token_provider(settings.sasl_oauth_hook)}
    if not (settings.sasl_mechanism and settings.sasl_username and settings.sasl_password):
        raise SettingsError(
            f"{settings.security_protocol} needs a mechanism, a user and a password.",
            action="Set STILLHOUSE_SASL_MECHANISM, STILLHOUSE_SASL_USERNAME and STILLHOUSE_SASL_PASSWORD.",
        )
    return {
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": settings.sasl_password.get_secret_value(),
    }


def _token_provider(hook: str | None) -> Any:
    """Call the hook, `package.module:callable`, for an aiokafka.abc.AbstractTokenProvider."""
    module, _, name = (hook or "").partition(":")
    try:
        return getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise SettingsError(
            f"OAUTHBEARER needs a token provider; {hook!r} gives none: {error}.",
            action="Set STILLHOUSE_SASL_OAUTH_HOOK to package.module:callable, which returns an "
            "aiokafka.abc.AbstractTokenProvider.",
        ) from None
