import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.article import MAX_BYTES, Article
from core.errors import RefusedRecord, StillhouseError
from core.jsonl import open_input, read_lines


def reasons(text: bytes) -> list[tuple[int, str | None]]:
    lines = read_lines(io.BytesIO(text))
    return [(n.number, n.outcome.reason if isinstance(n.outcome, RefusedRecord) else None) for n in lines]


def test_lines_keep_their_numbers_and_are_judged_alone() -> None:
    text = b'{"title": "one"}\n\nnot json\r\n[1]\n{"title": 3}\n{"title": "caf\xe9"}\n{}\n{"title": "last"}'
    assert reasons(text) == [
        (1, None),
        (3, "not_json"),
        (4, "not_an_object"),
        (5, "wrong_type"),
        (6, "not_utf8"),
        (7, "empty"),
        (8, None),
    ]


def test_a_line_over_the_limit_is_refused_and_the_next_one_read() -> None:
    text = b'{"title": "' + b"x" * (3 * MAX_BYTES) + b'"}\n{"title": "next"}\n'
    assert reasons(text) == [(1, "too_large"), (2, None)]


def test_a_line_at_the_limit_is_read() -> None:
    frame = len(b'{"title": ""}')
    (line,) = read_lines(io.BytesIO(b'{"title": "' + b"x" * (MAX_BYTES - frame) + b'"}\r\n'))
    assert isinstance(line.outcome, Article)


@given(st.lists(st.binary(max_size=60).filter(lambda body: b"\n" not in body and b"\r" not in body)))
def test_any_bytes_give_one_outcome_per_line_that_is_not_blank(bodies: list[bytes]) -> None:
    lines = list(read_lines(io.BytesIO(b"\n".join(bodies))))
    assert [line.body for line in lines] == [body for body in bodies if body.strip()]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(StillhouseError, match=r"nowhere\.jsonl"), open_input("nowhere.jsonl"):
        pass
