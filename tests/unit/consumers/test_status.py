"""Lag, rates and time to drain from two samples."""

import pytest

from consumers.status import Sample, Status, stage_status
from consumers.tables import print_status


@pytest.mark.parametrize(
    ("before", "after", "lag", "drain_sec"),
    [
        pytest.param(Sample(0, 100, 100), Sample(2, 100, 100), 0, 0.0, id="idle"),
        pytest.param(Sample(0, 100, 20), Sample(2, 100, 60), 40, 2.0, id="draining"),
        pytest.param(Sample(0, 100, 20), Sample(2, 120, 60), 60, 6.0, id="draining-under-load"),
        pytest.param(Sample(0, 100, 20), Sample(2, 200, 60), 140, None, id="falling-behind"),
        pytest.param(Sample(0, 100, 20), Sample(2, 100, 20), 80, None, id="nobody-works"),
    ],
)
def test_status(before, after, lag, drain_sec):
    status = stage_status("screen", before, after, consumers=2)
    assert (status.lag, status.drain_sec, status.topic) == (lag, drain_sec, "articles.raw")


@pytest.mark.parametrize(("consumers", "said"), [(0, "no worker"), (4, "not shrinking")])
def test_an_operator_sees_whether_anybody_works(consumers, said, capsys):
    stuck = stage_status("screen", Sample(0, 100, 20), Sample(2, 100, 20), consumers)
    print_status(Status((stuck,), {"articles.dead": 1_234}, ("oracle.labels",)))
    printed = capsys.readouterr().out
    assert said in printed
    assert "1,234 on articles.dead" in printed
    assert "oracle.labels" in printed.splitlines()[-2]
    assert printed.splitlines()[-1] == "Run `stillhouse topics apply`."
