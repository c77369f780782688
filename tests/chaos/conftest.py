"""The same brokers as the delivery suite."""

from tests.support.broker_fixtures import apache, broker, stream_settings

__all__ = ["apache", "broker", "stream_settings"]
