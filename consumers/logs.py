"""Logging of a process: rich lines for people, one JSON object per line for machines."""

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import SecretStr

from core.settings import Settings

MASK = "***"
_MIN_SECRET_CHARS = 6
"""Shorter values would mask ordinary words."""

# Query parameters and headers that carry credentials in the error texts of HTTP libraries.
_CREDENTIAL = re.compile(
    r"""(?i)((?:api[-_]?key|key|token|password|secret|authorization)["']?\s*[=:]\s*["']?(?:bearer )?)[^\s&"',}]{6,}"""
)
_USERINFO = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Masking(logging.Formatter):
    """Formats through `inner`, then masks the settings' secrets and whatever looks like a credential."""

    def __init__(self, inner: logging.Formatter, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._inner = inner
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = self._inner.format(record)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _USERINFO.sub(MASK, text)
        return _CREDENTIAL.sub(rf"\1{MASK}", text)


class JsonLines(logging.Formatter):
    """One JSON object per record; fields given as `extra=` stand beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD_FIELDS}
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Plain values of every secret setting, longest first so that no part of one is left over."""

    def values() -> Iterator[str]:
        for name in type(settings).model_fields:
            value = getattr(settings, name)
            if isinstance(value, SecretStr):
                yield value.get_secret_value()

    return tuple(sorted((value for value in values() if len(value) >= _MIN_SECRET_CHARS), key=len, reverse=True))


def configure_logging(settings: Settings, level: int = logging.INFO) -> None:
    """Route all logging to stderr; standard output stays free for results."""
    handler: logging.Handler
    if settings.log_json:
        handler = logging.StreamHandler()
        inner: logging.Formatter = JsonLines()
    else:
        from rich.console import Console
        from rich.logging import RichHandler

        handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False, log_time_format="%H:%M:%S")
        inner = logging.Formatter("%(message)s")
    handler.setFormatter(Masking(inner, secrets_of(settings)))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("stillhouse.faststream", "httpx", "httpcore", "google_genai", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    logging.getLogger("aiokafka").setLevel(max(level, logging.ERROR))  # it warns at each start and each rebalance
