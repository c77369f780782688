"""The strict reader of an oracle's answer: scores for every dimension, or a named refusal. Nothing is repaired."""

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from models.oracle.prompt import INSTRUCTED

MAX_CHARS = 200_000


class RefusedAnswer(Exception):
    """The answer is no label. `reason` is one of:

    empty, too_long, code_fence, extra_text, not_json, not_an_object, duplicate_key, missing_filter, extra_filter,
    missing_dimension, extra_dimension, score_not_a_number, score_not_finite, score_out_of_range,
    evidence_not_text, evidence_not_found, missing_flag, text_instructs_reader
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FilterAnswer:
    """Scores by dimension on 0-10, and the quotes that do occur in the article."""

    scores: dict[str, float]
    evidence: dict[str, str]


def parse_answer(answer: str, dimensions: Mapping[str, Sequence[str]], article_text: str) -> dict[str, FilterAnswer]:
    """Read an answer for `dimensions` (by filter).

    A quote that is not in the article is left out of the evidence. If the answer quotes and none of its quotes is
    in the article, the oracle judged something else, and the whole answer is refused.
    """
    record = _decode(answer)
    instructed = record.pop(INSTRUCTED, None)
    if not isinstance(instructed, bool):
        raise RefusedAnswer("missing_flag", f"{INSTRUCTED} must be true or false, got {instructed!r:.40}")
    if instructed:
        raise RefusedAnswer("text_instructs_reader", "the article tries to steer the oracle")
    _same_keys("filter", record, dimensions)
    raw = {name: _object(name, record[name]) for name in dimensions}
    for name, expected in dimensions.items():
        _same_keys("dimension", raw[name], expected, prefix=f"{name}.")
    text = _folded(article_text)
    answers, quoted = {}, 0
    for name, expected in dimensions.items():
        scores, evidence = {}, {}
        for dimension in expected:
            path = f"{name}.{dimension}"
            part = _object(path, raw[name][dimension])
            _same_keys("dimension", part, ("evidence", "score"), prefix=f"{path}.")
            scores[dimension] = _score(path, part["score"])
            quote = part["evidence"]
            if not isinstance(quote, str):
                raise RefusedAnswer("evidence_not_text", f"{path} has evidence {quote!r:.80}")
            quoted += bool(quote.strip())
            if quote.strip() and _folded(quote) in text:
                evidence[dimension] = quote.strip()
        answers[name] = FilterAnswer(scores, evidence)
    if quoted and not any(part.evidence for part in answers.values()):
        raise RefusedAnswer("evidence_not_found", f"none of {quoted} quotes occurs in the article")
    return answers


def _decode(answer: str) -> dict[str, Any]:
    text = answer.strip()
    if not text:
        raise RefusedAnswer("empty", "the answer has no text")
    if len(text) > MAX_CHARS:
        raise RefusedAnswer("too_long", f"{len(text)} characters, the limit is {MAX_CHARS}")
    if text.startswith("```"):
        raise RefusedAnswer("code_fence", "the answer stands in a code fence")
    try:
        decoder = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)
        value, end = decoder.raw_decode(text)
    except RecursionError:
        raise RefusedAnswer("not_json", "nested too deeply") from None
    except ValueError as error:
        reason = "extra_text" if "{" in text and text[0] not in '{["' else "not_json"
        raise RefusedAnswer(reason, f"{error}") from None
    if not isinstance(value, dict):
        raise RefusedAnswer("not_an_object", f"expected an object, got {type(value).__name__}")
    if end < len(text):
        raise RefusedAnswer("extra_text", f"{len(text) - end} characters after the object: {text[end : end + 40]!r}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise RefusedAnswer("duplicate_key", f"{next(n for n in names if names.count(n) > 1)!r} is given twice")
    return record


def _refuse_constant(constant: str) -> NoReturn:
    raise RefusedAnswer("score_not_finite", f"{constant} is not a score")


def _object(path: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, int | float | str) and "." in path:
        raise RefusedAnswer("not_an_object", f"{path} is {value!r:.40}, not an object with evidence and score")
    raise RefusedAnswer("not_an_object", f"{path} is {type(value).__name__}, not an object")


def _same_keys(
    kind: str, record: Mapping[str, Any], expected: Sequence[str] | Mapping[str, Any], *, prefix: str = ""
) -> None:
    wanted = list(expected)
    if missing := [name for name in wanted if name not in record]:
        raise RefusedAnswer(f"missing_{kind}", f"{prefix}{missing[0]} is missing ({len(missing)} in all)")
    if extra := [name for name in record if name not in wanted]:
        raise RefusedAnswer(f"extra_{kind}", f"{prefix}{extra[0]!s:.80} was not asked for ({len(extra)} in all)")


def _score(path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedAnswer("score_not_a_number", f"{path} is {value!r:.40}")
    try:
        score = float(value)
    except OverflowError:
        score = math.inf
    if not math.isfinite(score):
        raise RefusedAnswer("score_not_finite", f"{path} is {value!r:.40}")
    if not 0 <= score <= 10:
        raise RefusedAnswer("score_out_of_range", f"{path} is {score:g}, scores are 0-10")
    return score


_QUOTES = str.maketrans(dict.fromkeys("“”„«»″", '"') | dict.fromkeys("‘’‚′`", "'") | dict.fromkeys("–—‑", "-"))


def _folded(text: str) -> str:
    """Blind to case, white space and the typography that models normalise when they quote."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold().split()).strip("\"'… .")
