"""The killer of a process is found by counting, whoever handles the records next."""

import fcntl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.attempts import NoAttempts, SqliteAttempts, _parts
from consumers.records import Record


def batch(count: int) -> list[tuple[int, Record]]:
    return [(i, Record("in", i % 3, i, 0, None, b"")) for i in range(count)]


class Process:
    """A process as the counting sees it: alive while it holds its lock."""

    def __init__(self, state) -> None:
        self.attempts = SqliteAttempts(state)

    def die(self) -> None:
        """The kernel drops the lock, and nothing more is written."""
        fcntl.flock(self.attempts._self._stream, fcntl.LOCK_UN)
        self.attempts._open = False
        self.attempts._db.close()


def handle_until_death(process: Process, records, killer: int) -> tuple[bool, set[int]]:
    """Work through a batch as the frame does; True if the process lived, and the dead letters."""
    letters = set()
    for part in process.attempts.plan("stage", records):
        if part.killer:
            letters.add(part.indices[0])
            continue
        note = process.attempts.running("stage", [records[i][1] for i in part.indices])
        note.__enter__()
        if killer in part.indices:
            process.die()
            return False, letters
        note.__exit__(None, None, None)
    process.attempts.forget("stage", [record for _, record in records])
    return True, letters


@pytest.mark.parametrize("size", [1, 2, 64, 500])
def test_the_killer_is_found_in_few_deaths_and_alone(tmp_path, size):
    records, killer, deaths = batch(size), size // 2, 0
    while True:
        lived, letters = handle_until_death(Process(tmp_path), records, killer)
        if lived:
            break
        deaths += 1
        assert deaths <= 6
    assert letters == {killer}
    assert SqliteAttempts(tmp_path).plan("stage", records) == NoAttempts().plan("stage", records), "history is over"


def test_a_death_from_outside_costs_smaller_parts_once(tmp_path):
    records = batch(64)
    assert handle_until_death(Process(tmp_path), records, killer=5) == (False, set())
    process = Process(tmp_path)
    assert {len(part.indices) for part in process.attempts.plan("stage", records)} == {8}
    assert handle_until_death(process, records, killer=-1) == (True, set())
    assert len(process.attempts.plan("stage", records)) == 1


def test_a_living_process_is_not_counted(tmp_path):
    first, second = SqliteAttempts(tmp_path), SqliteAttempts(tmp_path)
    with first.running("stage", [record for _, record in batch(8)]):
        assert len(second.plan("stage", batch(8))) == 1
    first.close()
    assert len(second.plan("stage", batch(8))) == 1


def test_a_batch_that_outlasts_the_end_leaves_no_note(tmp_path):
    ending = SqliteAttempts(tmp_path)
    with ending.running("stage", [record for _, record in batch(8)]):
        ending.close()
    assert len(SqliteAttempts(tmp_path).plan("stage", batch(8))) == 1


def test_stages_do_not_share_their_histories(tmp_path):
    handle_until_death(Process(tmp_path), batch(64), killer=5)
    assert len(SqliteAttempts(tmp_path).plan("another", batch(64))) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=80))
def test_parts_cover_every_record_once_in_order(histories):
    parts = _parts([(index, deaths, alone) for index, (deaths, alone) in enumerate(histories)])
    assert [index for part in parts for index in part.indices] == list(range(len(histories)))
    assert all(len(part.indices) == 1 for part in parts if part.killer)
