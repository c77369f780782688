import io
import json
import logging

import pytest
from pydantic import SecretStr

from consumers.logs import JsonLines, Masking, configure_logging, secrets_of
from core.settings import Settings

KEY = "AIza-very-secret-key-1234"


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def written(settings: Settings, emit) -> str:
    configure_logging(settings)
    (handler,) = logging.getLogger().handlers
    stream = io.StringIO()
    if settings.log_json:
        handler.setStream(stream)
    else:
        from rich.console import Console

        handler.console = Console(file=stream, width=200)
    emit(logging.getLogger("stillhouse.test"))
    return stream.getvalue()


def test_one_json_object_per_record_whatever_is_in_it():
    def emit(log: logging.Logger) -> None:
        log.info("two\nlines of %s", "text", extra={"stage": "score", "odd": {1: object()}})
        try:
            raise ValueError("bad")
        except ValueError:
            log.exception("failed")

    lines = written(Settings(log_json=True), emit).splitlines()
    first, second = map(json.loads, lines)
    assert (first["message"], first["level"], first["stage"]) == ("two\nlines of text", "info", "score")
    assert first["time"].endswith("+00:00")
    assert "ValueError: bad" in second["error"]


@pytest.mark.parametrize("log_json", [True, False], ids=["json", "rich"])
@pytest.mark.parametrize(
    "text",
    [
        f"called with {KEY}", f"https://api.example/v1?key={KEY}&x=1", f"Authorization: Bearer {KEY}",
        f"{{'api_key': '{KEY}'}}", f"kafka://user:{KEY}@host/", f"password={KEY}",
    ],
)  # fmt: skip
def test_secrets_are_masked(log_json: bool, text: str):
    settings = Settings(log_json=log_json, oracle_api_key=SecretStr(KEY))
    assert KEY not in written(settings, lambda log: log.error(text))


@pytest.mark.parametrize("text", ["https://a.example/x?token=abcdef123456", "Authorization: Bearer abcdef123456",
                                  "redis://me:abcdef123456@host"])  # fmt: skip
def test_credentials_that_are_no_setting_are_masked_too(text: str):
    line = written(Settings(log_json=True), lambda log: log.error(text))
    assert "abcdef123456" not in line
    assert "***" in line


def test_secrets_in_a_traceback_are_masked():
    def emit(log: logging.Logger) -> None:
        try:
            raise RuntimeError(f"no access with {KEY}")
        except RuntimeError:
            log.exception("call failed")

    assert KEY not in written(Settings(log_json=True, sasl_password=SecretStr(KEY)), emit)


def test_ordinary_words_stay():
    settings = Settings(oracle_api_key=SecretStr("abc"))
    assert secrets_of(settings) == ()
    formatter = Masking(JsonLines(), secrets_of(settings))
    record = logging.makeLogRecord(
        {"msg": "the key of articles.raw: keyboard, tokens: 12, monkey=no", "levelname": "INFO"}
    )
    assert json.loads(formatter.format(record))["message"] == record.getMessage()
