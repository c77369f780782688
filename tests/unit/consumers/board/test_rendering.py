import time

import pytest

from consumers.board import rendering


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("Plain", "ltr"), ("القرية", "rtl"), ("בית", "rtl"), ("300 ילדים", "rtl"), ("Stillhouse: ما الجديد", "ltr"),
        ("社區", "ltr"), ("", "ltr"), ("1,200 (2)", "ltr"),
    ],
)  # fmt: skip
def test_the_first_letter_decides_the_direction(text: str, direction: str):
    assert rendering.direction(text) == direction


@pytest.mark.parametrize(
    ("published", "shown"),
    [("2026-11-20T08:00:00Z", "20 November 2026"), ("2026-11-05", "5 November 2026"), ("last week", "last week")],
)
def test_a_date_is_shown_as_a_day_where_it_is_one(published: str, shown: str):
    assert rendering.day(published) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "now"), (3, "now"), (42, "42 sec ago"), (150, "2 min ago"), (7_300, "2 hr ago"), (200_000, "2 days ago")],
)
def test_how_long_ago(seconds: float, shown: str):
    assert rendering.ago(int((time.time() - seconds) * 1000)) == shown


@pytest.mark.parametrize(
    ("ms", "shown"), [(80, "80 ms"), (1_240, "1.2 s"), (42_000, "42 s"), (90_000, "1.5 min"), (7_200_000, "2.0 h")]
)
def test_durations(ms: int, shown: str):
    assert rendering.duration(ms) == shown


def test_drawings_stay_inside_their_scale():
    assert rendering.position(-3) == rendering.position(0) == "2.00%"
    assert rendering.position(99) == rendering.position(10) == "98.00%"
    assert rendering.within(0.5, 0, 1) == pytest.approx(5)
