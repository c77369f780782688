import pytest

from consumers.board.views import BadRequest, Cursor, View, cursor_of, number_of


@pytest.mark.parametrize(
    "params",
    [
        {"show": "everything"}, {"filter": "../../etc"}, {"filter": "a" * 65}, {"filter": "UPPER"},
        {"tier": "<script>"}, {"tier": "x" * 65}, {"language": "english please"}, {"language": "e'; DROP TABLE"},
        {"reason": "a/b"}, {"q": "x" * 201},
    ],
    ids=str,
)  # fmt: skip
def test_parameters_that_cannot_be_meant_are_named(params: dict[str, str]):
    with pytest.raises(BadRequest) as refused:
        View.from_params(params)
    assert refused.value.action


@pytest.mark.parametrize("before", ["x", "1", "-1", "1-", "9" * 16 + "-1", "1-1; --", "１-１", "1.5-2"])
def test_a_place_that_is_none_is_refused(before: str):
    with pytest.raises(BadRequest):
        cursor_of({"before": before})


def test_a_place_is_read_back():
    cursor = Cursor(1_700_000_000_000, 42)
    assert cursor_of({"before": str(cursor)}) == cursor
    assert cursor_of({}) is None


@pytest.mark.parametrize(
    ("text", "value"), [("", 40), ("7", 7), ("0", 0), ("999999999999999999999", 200), ("201", 200)]
)
def test_numbers_are_bounded(text: str, value: int):
    assert number_of({"limit": text}, "limit", 40, 200) == value


@pytest.mark.parametrize("text", ["-1", "1e9", "٣", "0x10", "NaN"])
def test_what_is_no_number_is_refused(text: str):
    with pytest.raises(BadRequest):
        number_of({"limit": text}, "limit", 40, 200)


def test_a_view_survives_its_own_address():
    view = View("notable", "uplifting", "medium", "nl", "", 'a "b" & c')
    query = dict(pair.split("=") for pair in view.url().removeprefix("/?").split("&"))
    from urllib.parse import unquote_plus

    assert View.from_params({name: unquote_plus(value) for name, value in query.items()}) == view


def test_control_characters_do_not_reach_the_search():
    assert View.from_params({"q": "a\x00b\nc"}).query == "a b c"
