"""The cascade over a file, without Kafka: records in input order, the next batch screened while one is scored."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from core.article import Article
from core.cascade import Cascade, Judged
from core.claims import ClaimStore
from core.errors import RefusedRecord
from core.jsonl import Line
from core.messages import Rejected, Scored

BATCH = 256
"""Lines per batch. Larger than the stream's, so that sorting by length finds neighbours of like length."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one line. `asked` is True if the stream would send it to the oracle."""

    line: int
    outcome: Scored | Rejected | RefusedRecord
    asked: bool = False


def score_lines(cascade: Cascade, lines: Iterable[Line], claims: ClaimStore, batch: int = BATCH) -> Iterator[Result]:
    """One result per line, in order."""
    source = iter(lines)
    with ThreadPoolExecutor(1, thread_name_prefix="screen") as executor:

        def screen_next() -> Future[list[_Screened]] | None:
            group = list(islice(source, batch))
            return executor.submit(_screen, cascade, group, claims) if group else None

        upcoming = screen_next()
        while upcoming is not None:
            screened = upcoming.result()
            upcoming = screen_next()
            yield from _score(cascade, screened)


@dataclass(frozen=True, slots=True)
class _Screened:
    line: int
    answer: Judged | Rejected | RefusedRecord


def _screen(cascade: Cascade, lines: Sequence[Line], claims: ClaimStore) -> list[_Screened]:
    articles = [line.outcome for line in lines if isinstance(line.outcome, Article)]
    prepared = cascade.prepare(articles, claims)
    gated = iter(cascade.embed([item for item in prepared if isinstance(item, Article)]))
    answers = iter([cascade.judge(next(gated)) if isinstance(item, Article) else item for item in prepared])
    return [
        _Screened(line.number, next(answers) if isinstance(line.outcome, Article) else line.outcome) for line in lines
    ]


def _score(cascade: Cascade, screened: Sequence[_Screened]) -> Iterator[Result]:
    outcomes = iter(cascade.score([item.answer for item in screened if isinstance(item.answer, Judged)]))
    for item in screened:
        if isinstance(item.answer, Judged):
            outcome = next(outcomes)
            if isinstance(outcome, Rejected):
                yield Result(item.line, outcome)
            else:
                yield Result(item.line, outcome.scored, asked=outcome.request is not None)
        else:
            yield Result(item.line, item.answer)
