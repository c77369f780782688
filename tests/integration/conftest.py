"""Brokers of the delivery suite."""

from tests.support.broker_fixtures import apache_settings, broker, shared_apache, stream_settings

__all__ = ["apache_settings", "broker", "shared_apache", "stream_settings"]
