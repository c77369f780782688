"""Lag, rates and time to drain from two samples."""

import pytest

from consumers.status import Sample, stage_status


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
    status = stage_status("screen", before, after)
    assert (status.lag, status.drain_sec, status.topic) == (lag, drain_sec, "articles.raw")
