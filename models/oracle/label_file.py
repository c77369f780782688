"""Labels as JSON lines: appended as they come, and continued after a kill."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import orjson

from core.article import Article
from core.errors import StillhouseError
from models.oracle.ask import Answered
from models.oracle.rubric import Rubric


class LabelFile:
    """The rows of one labelling run. `done` holds the article ids that have their row already."""

    def __init__(self, stream: IO[bytes], rubric: Rubric, done: set[str]) -> None:
        self._stream = stream
        self._rubric = rubric
        self.done = done

    def write(self, article: Article, outcome: Answered) -> None:
        """One line, flushed: what was answered can be read while the run goes on."""
        answer = outcome.answers[self._rubric.name]
        row = {
            "article_id": article.id,
            "filter": self._rubric.name,
            "version": self._rubric.spec.version,
            "scores": answer.scores,
            "oracle": outcome.oracle,
            "prompt_hash": self._rubric.hash,
            "cost_usd": round(outcome.cost_usd, 8),
            "evidence": answer.evidence,
        }
        self._stream.write(orjson.dumps(row) + b"\n")
        self._stream.flush()
        self.done.add(article.id)


@contextmanager
def open_labels(path: Path, rubric: Rubric, *, resume: bool) -> Iterator[LabelFile]:
    """Create the file, or continue it. A line that a kill cut off is removed.

    Raises:
        StillhouseError: the file exists and `resume` is False, or it holds something else.
    """
    if path.exists() and not resume:
        raise StillhouseError(f"{path} exists.", action="Continue it with --resume, or name another file with --out.")
    done = _mend(path, rubric) if path.exists() else set()
    with path.open("ab") as stream:
        yield LabelFile(stream, rubric, done)


def _mend(path: Path, rubric: Rubric) -> set[str]:
    """Cut off a torn last line; answer the article ids of the others."""
    body = path.read_bytes()
    whole = body[: body.rfind(b"\n") + 1]
    done = set()
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = orjson.loads(line)
            same = (row["filter"], row["version"], row["prompt_hash"])
            article_id = str(row["article_id"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise StillhouseError(
                f"{path}, line {number}: not a label of this command: {error!r}.",
                action="Name another file with --out.",
            ) from error
        if same != (rubric.name, rubric.spec.version, rubric.hash):
            raise StillhouseError(
                f"{path}, line {number}: a label of {same[0]}/{same[1]} under another rubric.",
                action="Name another file with --out: labels of two rubrics must not be mixed.",
            )
        done.add(article_id)
    if len(whole) < len(body):
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
    return done
