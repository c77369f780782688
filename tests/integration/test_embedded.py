"""The embedded broker: shared by processes, gone with its own, and clear about a port that is taken."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consumers.embedded import embedded_broker, speaks_kafka
from core.errors import StillhouseError
from tests.support.kafka import PROJECT

SOCKETS = Path("/proc/net/tcp")
OWNER = """
import sys, time
from pathlib import Path
from consumers.embedded import embedded_broker
from core.settings import load_settings
with embedded_broker(load_settings(home=Path(sys.argv[1]), port=int(sys.argv[2]))):
    print("up", flush=True)
    time.sleep(60)
"""


def wait_until(condition, timeout_sec: float = 10) -> bool:
    deadline = time.monotonic() + timeout_sec
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_it_ends_with_the_process_that_started_it(settings, death):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, settings.home, str(settings.port)], stdout=subprocess.PIPE, cwd=PROJECT
    )
    assert owner.stdout.readline() == b"up\n"
    assert speaks_kafka(settings.port)
    os.kill(owner.pid, death)
    owner.wait()
    assert wait_until(lambda: not speaks_kafka(settings.port))


def test_a_second_process_shares_the_first_ones_broker(settings):
    with embedded_broker(settings) as first, embedded_broker(settings) as second:
        assert (first.owned, second.owned) == (True, False)
    assert not speaks_kafka(settings.port)


def test_a_broker_that_another_home_started_is_joined(settings, tmp_path):
    with embedded_broker(settings):
        elsewhere = settings.model_copy(update={"home": tmp_path / "elsewhere"})
        with embedded_broker(elsewhere) as joined:
            assert not joined.owned
        assert speaks_kafka(settings.port), "only its owner ends it"


def test_a_port_that_something_else_uses_is_named(settings):
    message = rf"Port {settings.port} .* in use.*STILLHOUSE_PORT"
    with socket.create_server(("127.0.0.1", settings.port)), pytest.raises(StillhouseError, match=message):
        embedded_broker(settings).__enter__()


@pytest.mark.skipif(not SOCKETS.is_file(), reason="reads Linux's table of sockets")
def test_it_listens_on_loopback_alone(settings):
    with embedded_broker(settings):
        rows = [row.split() for row in SOCKETS.read_text().splitlines()]
    listening = [row[1].split(":") for row in rows if row[3] == "0A"]
    assert [address for address, port in listening if int(port, 16) == settings.port] == ["0100007F"]
