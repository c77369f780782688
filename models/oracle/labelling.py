"""Labelling many articles by one rubric: bounded money, progress, and a stop that loses nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from core.article import Article
from models.oracle.ask import Answered, Asker, Failed, outcome_of
from models.oracle.label_file import LabelFile
from models.oracle.pause import OracleAway
from models.oracle.prompt import Question
from models.oracle.rubric import Rubric


@dataclass
class Progress:
    """`cost_usd` covers the whole file, answers of earlier runs included; `paid_usd` this run alone."""

    total: int
    labelled: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    cost_usd: float = 0.0
    paid_usd: float = 0.0
    stopped: str | None = None

    @property
    def done(self) -> int:
        return self.labelled + self.failed.total()

    @property
    def forecast_usd(self) -> float:
        """Cost of the whole file at the present average."""
        return self.cost_usd / self.done * self.total if self.done else 0.0


@dataclass(frozen=True)
class Limits:
    """`budget_usd` covers the whole file. Without any answer for `give_up_sec` the run stops."""

    budget_usd: float | None
    give_up_sec: float
    retry_failed: bool = False


class Labelling:
    """One run over one file."""

    def __init__(self, asker: Asker, rubric: Rubric, labels: LabelFile, limits: Limits) -> None:
        self._asker = asker
        self._rubric = rubric
        self._labels = labels
        self._limits = limits
        self._reserved_usd = 0.0
        self._alive_at = time.monotonic()

    async def run(self, articles: Sequence[Article], workers: int, notify: Callable[[Progress], None]) -> Progress:
        """Label what has no answer yet. `notify` is called after every change."""
        progress = Progress(len(articles))
        waiting = iter(self._recall(articles, progress, notify))
        await asyncio.gather(*(self._work(waiting, progress, notify) for _ in range(workers)))
        return progress

    def question(self, article: Article) -> Question:
        return Question(article, (self._rubric,))

    def _recall(
        self, articles: Sequence[Article], progress: Progress, notify: Callable[[Progress], None]
    ) -> "list[_Waiting]":
        """Take what the ledger knows; answer what must be asked."""
        waiting = []
        for article in articles:
            key = self._asker.key(self.question(article))
            known = self._asker.ledger.lookup(key)
            if known is None:
                waiting.append(_Waiting(article))
            elif known.state == "failed" and self._limits.retry_failed:
                waiting.append(_Waiting(article, known.replay + 1, known.cost_usd))
                progress.cost_usd += known.cost_usd
            else:
                self._take(article, outcome_of(key, known), known.cost_usd, progress)
                notify(progress)
        return waiting

    async def _work(
        self, waiting: "Iterator[_Waiting]", progress: Progress, notify: Callable[[Progress], None]
    ) -> None:
        while not progress.stopped and (item := next(waiting, None)):
            expected_usd = self._asker.expect_usd(self.question(item.article))
            budget_usd = self._limits.budget_usd
            if budget_usd is not None and progress.cost_usd + self._reserved_usd + expected_usd > budget_usd:
                progress.stopped = f"the budget of {budget_usd:g} USD is used up"
                return
            self._reserved_usd += expected_usd
            try:
                outcome = await self._ask(item, progress)
            finally:
                self._reserved_usd -= expected_usd
            if outcome:
                fresh_usd = outcome.cost_usd - item.cost_usd
                progress.paid_usd += fresh_usd
                self._take(item.article, outcome, fresh_usd, progress)
                notify(progress)

    async def _ask(self, item: "_Waiting", progress: Progress) -> Answered | Failed | None:
        while not progress.stopped:
            try:
                outcome = await self._asker.ask(self.question(item.article), replay=item.replay)
            except OracleAway as away:
                if time.monotonic() - self._alive_at > self._limits.give_up_sec:
                    progress.stopped = away.message
                await asyncio.sleep(min(1.0, self._limits.give_up_sec / 10))
            else:
                self._alive_at = time.monotonic()
                return outcome
        return None

    def _take(self, article: Article, outcome: Answered | Failed, cost_usd: float, progress: Progress) -> None:
        progress.cost_usd += cost_usd
        if isinstance(outcome, Failed):
            progress.failed[outcome.reason] += 1
            return
        progress.labelled += 1
        if article.id not in self._labels.done:
            self._labels.write(article, outcome)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An article to ask; one that failed before with its next replay number and what it cost so far."""

    article: Article
    replay: int = 0
    cost_usd: float = 0.0
