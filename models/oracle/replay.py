"""The oracle that answers from a labelled file: for demos, tests and backtests. Its labels say `replay:`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from core.errors import SettingsError
from models.oracle.pricing import Usage
from models.oracle.prompt import INSTRUCTED, Prompt
from models.oracle.provider import NoAnswer, Reply

PREFIX = "replay:"


class ReplayProvider:
    """Labels by (article id, filter) from JSONL lines {"article_id", "filter", "scores", "oracle"}.

    It answers in the contract of every oracle, so its answers take the same path through parser and ledger.
    """

    paid = False

    def __init__(self, path: Path) -> None:
        body = _read(path)
        self.name = f"{PREFIX}{path.stem}"
        self.identity = f"{self.name}:{hashlib.sha256(body).hexdigest()[:16]}"
        self._labels = _labels(path, body)

    async def generate(self, prompt: Prompt) -> Reply:
        article_id = prompt.question.article.id
        answer: dict[str, Any] = {INSTRUCTED: False}
        oracles = set()
        for name, dimensions in prompt.question.dimensions.items():
            label = self._labels.get((article_id, name))
            if label is None:
                raise NoAnswer("not_in_replay_file", f"{self.name} has no label of {name} for article {article_id}")
            scores = label["scores"]
            if set(scores) != set(dimensions):
                raise NoAnswer("not_in_replay_file", f"{self.name} has other dimensions for {name}: {sorted(scores)}")
            answer[name] = {dimension: {"evidence": "", "score": scores[dimension]} for dimension in dimensions}
            oracles.add(str(label.get("oracle", "unknown")))
        return Reply(orjson.dumps(answer).decode(), Usage(), oracle=PREFIX + "+".join(sorted(oracles)))

    async def close(self) -> None: ...


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"The replay oracle cannot read {path}: {error.strerror}.",
            action="Set STILLHOUSE_ORACLE_REPLAY to a JSONL file of labels.",
        ) from error


def _labels(path: Path, body: bytes) -> dict[tuple[str, str], Mapping[str, Any]]:
    labels: dict[tuple[str, str], Mapping[str, Any]] = {}
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            label = orjson.loads(line)
            key = (str(label["article_id"]), str(label["filter"]))
            if not isinstance(label["scores"], dict):
                raise TypeError("scores must be an object")
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{path}, line {number}: not a label: {error!r}.",
                action="A label needs article_id, filter and scores.",
            ) from error
        labels[key] = label
    return labels
