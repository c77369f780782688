"""Models load while the rest starts, and what goes wrong is told where the set is needed."""

import threading

import pytest

from core.errors import PackageError
from core.releases import Activation
from front.early import EarlyLoader
from tests.support.fakes import write_filters

WANTED = Activation(filters={"alpha": "v1"}, commerce="v1")


def test_loading_begins_before_it_is_asked_for(tmp_path):
    begun, asked = threading.Event(), []

    def loader(activation):
        asked.append(activation)
        begun.set()
        return f"cascade {len(asked)}"

    early = EarlyLoader(loader, (write_filters(tmp_path),))
    assert begun.wait(10)
    assert early(WANTED) == "cascade 2"
    assert asked[1] == WANTED


def test_a_call_waits_for_the_load_that_is_under_way(tmp_path):
    may_end, order = threading.Event(), []

    def loader(activation):
        first = not order
        order.append("begun")
        if first:
            assert may_end.wait(10)
        order.append("ended")

    early = EarlyLoader(loader, (write_filters(tmp_path),))
    call = threading.Thread(target=early, args=(WANTED,))
    call.start()
    may_end.set()
    call.join(10)
    assert order == ["begun", "ended", "begun", "ended"]


def test_an_early_fault_is_told_by_the_call_alone(tmp_path):
    def loader(activation):
        raise PackageError("alpha is damaged.", action="Restore it.")

    early = EarlyLoader(loader, (tmp_path / "no filters here",))
    with pytest.raises(PackageError, match="alpha is damaged"):
        early(WANTED)
