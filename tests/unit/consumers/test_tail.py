"""What `stillhouse tail` shows of a scored record."""

from consumers.tail import Wanted, line

RECORD = {
    "id": "a1",
    "title": "A title",
    "source": None,
    "filters": {
        "calm": {"weighted": 2.0, "tier": "low", "interval": None},
        "loud": {"weighted": 7.25, "tier": "high", "interval": [6.5, 8.0]},
    },
}


def test_best_filters_come_first():
    assert line(RECORD, Wanted()) == "loud 7.25 high [6.5-8.0]  calm 2.00 low  -: A title"


def test_only_what_is_wanted():
    assert set(Wanted(min_score=5).matches(RECORD)) == {"loud"}
    assert set(Wanted("calm").matches(RECORD)) == {"calm"}
    assert not Wanted("calm", 5).matches(RECORD)
