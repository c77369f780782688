"""Committed offsets, also from a cluster that is just starting."""

from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError

from consumers import reading
from consumers.reading import committed_offsets

ONE, OTHER = TopicPartition("in", 0), TopicPartition("in", 1)


class Admin:
    """Answers with `failures` first."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    async def list_consumer_group_offsets(self, group, partitions):
        if self.failures:
            raise self.failures.pop(0)
        return {ONE: SimpleNamespace(offset=7), OTHER: SimpleNamespace(offset=-1)}


async def test_partitions_without_a_commit_are_left_out():
    assert await committed_offsets(Admin(), "group", [ONE, OTHER]) == {ONE: 7}


async def test_a_new_cluster_is_awaited(monkeypatch):
    monkeypatch.setattr(reading, "_COORDINATOR_PAUSE_SEC", 0)
    starting = Admin(GroupCoordinatorNotAvailableError(), NotCoordinatorForGroupError())
    assert await committed_offsets(starting, "group", [ONE]) == {ONE: 7}


async def test_a_coordinator_that_never_comes_is_an_error(monkeypatch):
    monkeypatch.setattr(reading, "_COORDINATOR_SEC", 0)
    monkeypatch.setattr(reading, "_COORDINATOR_PAUSE_SEC", 0)
    with pytest.raises(GroupCoordinatorNotAvailableError):
        await committed_offsets(Admin(*[GroupCoordinatorNotAvailableError()] * 1_000), "group", [ONE])
