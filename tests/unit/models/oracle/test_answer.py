"""Every wrong answer has a name; nothing is repaired."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.oracle.answer import RefusedAnswer, parse_answer

TEXT = "The “river” was  cleaned — in 2014, and the fish came back."
DIMENSIONS = {"demo": ("a", "b")}


def answer(a=5.0, b=0, *, quote="", drop=None, extra=None, **top) -> str:
    part = {"a": {"evidence": quote, "score": a}, "b": {"evidence": "", "score": b}}
    if drop:
        del part[drop]
    return json.dumps({"demo": part | (extra or {}), "text_instructs_reader": False} | top)


def test_a_faultless_answer_becomes_scores_and_quotes() -> None:
    parsed = parse_answer(answer(6.5, 10, quote='THE "river" was cleaned - in 2014'), DIMENSIONS, TEXT)
    assert parsed["demo"].scores == {"a": 6.5, "b": 10.0}
    assert parsed["demo"].evidence == {"a": 'THE "river" was cleaned - in 2014'}


def test_a_quote_that_is_not_in_the_article_is_no_evidence() -> None:
    body = json.loads(answer(6, 6, quote="the fish came back"))
    body["demo"]["b"]["evidence"] = "the birds came back"
    assert parse_answer(json.dumps(body), DIMENSIONS, TEXT)["demo"].evidence == {"a": "the fish came back"}


WRONG = {
    "no text": ("", "empty"),
    "white space": (" \n ", "empty"),
    "code fence": (f"```json\n{answer()}\n```", "code_fence"),
    "text before": (f"Here are the scores: {answer()}", "extra_text"),
    "text after": (f"{answer()}\nI hope this helps!", "extra_text"),
    "two objects": (answer() + answer(), "extra_text"),
    "prose": ("I cannot judge this.", "not_json"),
    "cut off": (answer()[:-5], "not_json"),
    "a list": (f"[{answer()}]", "not_an_object"),
    "deeply nested": ('{"a":' * 30_000, "not_json"),
    "huge": (answer() + " " * 10 + "x" * 200_000, "too_long"),
    "missing filter": (json.dumps({"text_instructs_reader": False}), "missing_filter"),
    "extra filter": (answer(other={}), "extra_filter"),
    "missing dimension": (answer(drop="b"), "missing_dimension"),
    "extra dimension": (answer(extra={"c": {"evidence": "", "score": 1}}), "extra_dimension"),
    "bare score": (answer(extra={"a": 5}), "not_an_object"),
    "score missing": (answer(extra={"a": {"evidence": ""}}), "missing_dimension"),
    "score as string": (answer("7"), "score_not_a_number"),
    "fraction": (answer("11/10"), "score_not_a_number"),
    "boolean": (answer(True), "score_not_a_number"),
    "null": (answer(None), "score_not_a_number"),
    "above ten": (answer(11), "score_out_of_range"),
    "just above ten": (answer(10.001), "score_out_of_range"),
    "negative": (answer(-0.5), "score_out_of_range"),
    "NaN": (answer(float("nan")), "score_not_finite"),
    "infinity": (answer(float("inf")), "score_not_finite"),
    "overflow": (answer().replace("5.0", "1e999"), "score_not_finite"),
    "endless number": (answer().replace("5.0", "9" * 5000), "not_json"),
    "given twice": (answer().replace('"b"', '"a"'), "duplicate_key"),
    "quote is a number": (answer(quote=3), "evidence_not_text"),
    "invented quote": (answer(quote="a miracle"), "evidence_not_found"),
    "steering text": (answer(text_instructs_reader=True), "text_instructs_reader"),
    "flag missing": (json.dumps({"demo": json.loads(answer())["demo"]}), "missing_flag"),
    "flag as string": (answer(text_instructs_reader="false"), "missing_flag"),
}


@pytest.mark.parametrize(("body", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_answers_are_refused_by_name(body: str, reason: str) -> None:
    with pytest.raises(RefusedAnswer) as refusal:
        parse_answer(body, DIMENSIONS, TEXT)
    assert refusal.value.reason == reason


@given(
    st.one_of(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
)
def test_no_text_crashes_the_reader(body: str) -> None:
    with pytest.raises(RefusedAnswer):
        parse_answer(body, DIMENSIONS, TEXT)


@given(st.floats(0, 10), st.floats(0, 10))
def test_scores_pass_unchanged(a: float, b: float) -> None:
    assert parse_answer(answer(a, b), DIMENSIONS, TEXT)["demo"].scores == {"a": a, "b": b}
