"""Header names that are not UTF-8: aiokafka raises over one at every fetch, and the partition stands still for ever.

C clients can write such names, and Java's read them with replacement characters in the place of bad bytes. Importing
this module makes aiokafka do the same. Only records that failed take this way: it is slow, in pure Python.
"""

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class _Buffer(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Buffer(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "replace")


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka has no types
    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: Any = _Buffer(self._buffer)


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    def next_batch(self) -> Any:
        raw = self._next_slice
        batch = super().next_batch()
        return _Batch(raw) if batch.magic >= 2 else batch  # older formats have no headers


class _KeptRecords(MemoryRecords):  # type: ignore[misc]
    """aiokafka's own compiled records, which keep what they were made of."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    def __next__(self) -> Any:
        try:
            return super().__next__()
        except UnicodeDecodeError:
            # Read again what was fetched: records before `next_fetch_offset` are skipped, as after a seek.
            self._records: Any = _Records(self._records.raw)
            self._records_iterator = self._unpack_records()
            return super().__next__()


fetcher.MemoryRecords = _KeptRecords
fetcher.PartitionRecords = _PartitionRecords
