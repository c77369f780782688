"""What a stage reads and writes: one consumed Kafka record, one message to publish."""

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from core.errors import RefusedRecord, TransientError

Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]


_MOST_DIGITS = 18
"""What fits into 64 bits. Longer numbers overflow clocks and metrics, and Python refuses more than 4,300 digits."""


def whole_number(header: bytes | None) -> int | None:
    """The number that a header holds, None where it holds none. Anybody can write headers."""
    return int(header) if header and header.isdigit() and len(header) <= _MOST_DIGITS else None


class Record(NamedTuple):
    """One consumed record, untouched. A missing value (tombstone) is None."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def body(self) -> bytes:
        """The value to decode; a tombstone decodes like an empty body."""
        return self.value or b""

    def header(self, name: str) -> bytes | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def number(self, name: str) -> int | None:
        return whole_number(self.header(name))


class Message(NamedTuple):
    """One message to publish. The frame adds trace-raw-ts, stage and attempt."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


Outcome: TypeAlias = Sequence[Message] | RefusedRecord
"""What one record becomes: messages (none is allowed, where a stage only stores), or a dead letter."""

T = TypeVar("T")


class Stage(Protocol[T]):
    """One step of the stream. The frame (consumers/delivery.py) does everything else.

    `handle` is a plain method, run in the stage's worker thread, or a coroutine, run in the event loop.
    It must be idempotent: after a crash, a transient error or a bisection the same records come again.

    A stage may also have `max_records` (its batches are no larger), `lanes` (consumers in this process) and
    `runs_native_code` (False: no native crash is to be feared, so its attempts are not counted).
    """

    name: str
    source: str

    def decode(self, record: Record) -> T:
        """Raises RefusedRecord where the record can never be handled; the neighbours are not affected."""

    def handle(self, batch: Sequence[T]) -> Sequence[Outcome] | Awaitable[Sequence[Outcome]]:
        """One outcome per item, in order.

        Raises:
            TransientError, OSError: something outside is away; the same batch is handed in again after a pause.
            anything else: the frame halves the batch until the records at fault stand alone as dead letters.
        """


class Publisher(Protocol):
    """Sends messages to Kafka, which takes values of at most `max_bytes`."""

    max_bytes: int

    async def publish(self, messages: Sequence[Message]) -> list[TransientError | RefusedRecord | None]:
        """Send all, await every confirmation. Per message: None once stored, or why it was not."""
