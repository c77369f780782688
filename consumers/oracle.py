"""The oracle stage: requests to labels within the budget. One call answers all filters of a request.

    1. decide   which filters of the request the budget admits; stored before anything is asked, so that a
                redelivered request is decided alike
    2. ask      the admitted filters in one call; the ledger knows every answer that was paid already
    3. label    each filter of the request is a label, or declined with its probability, in one record; a request
                that got no answer is a dead letter with its reason

All filters of an article are compared with one random number: filters with equal probability are asked together,
which shares the cost of the article's text, and each filter's probability stays exact.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consumers.recorder import Recorder, SilentRecorder
from consumers.records import Message, Outcome, Record
from consumers.repair import REPLAYS
from consumers.spending import ASK, REQUEST, Spending, rebuild_spending
from core.errors import PackageError, RefusedRecord
from core.messages import Declined, Labelled, OracleLabel, OracleRequest
from core.routing import uniform
from core.settings import Settings
from core.topics import ORACLE_LABELS, ORACLE_REQUESTS
from models.oracle.ask import Answered, Asker, Failed
from models.oracle.load import load_asker, why_not_ready
from models.oracle.prompt import Question
from models.oracle.rubric import Rubric, find_rubric

log = logging.getLogger("stillhouse.oracle")

_BATCHES_OF_CALLS = 2
"""Records per batch, in units of the concurrency: a batch waits for its slowest call before it is published."""


@dataclass(frozen=True)
class Ask:
    """A request as delivered. `key` names it across redeliveries; `replay` counts the dead-letter replays."""

    request: OracleRequest
    key: str
    replay: int


@dataclass(frozen=True)
class Decision:
    """What is asked of a request: admitted filters with their budget probability, and the declined ones."""

    admitted: dict[str, float]
    declined: dict[str, Declined]

    def to_dict(self) -> dict[str, Any]:
        return {"admitted": self.admitted, "declined": {name: d.to_dict() for name, d in self.declined.items()}}

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> "Decision":
        return cls(body["admitted"], {name: Declined(**part) for name, part in body["declined"].items()})


@dataclass
class OracleStage:
    """Asks the oracle about uncertain and audited articles, within the daily budget."""

    asker: Asker
    spending: Spending
    rubric: Callable[[str, str], Rubric]
    max_records: int
    recorder: Recorder = field(default_factory=SilentRecorder)
    clock: Callable[[], float] = time.time
    name: str = "oracle"
    source: str = ORACLE_REQUESTS
    runs_native_code: bool = False
    _deciding: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def decode(self, record: Record) -> Ask:
        key = hashlib.sha256(record.body).hexdigest()[:32]
        return Ask(OracleRequest.from_bytes(record.body), key, record.number(REPLAYS) or 0)

    async def handle(self, batch: Sequence[Ask]) -> Sequence[Outcome]:
        """Raises OracleAway after all other calls of the batch have ended; their answers are in the ledger."""
        raised: list[Exception] = []

        async def answer(ask: Ask) -> Outcome:
            try:
                return await self._answer(ask)
            except Exception as error:
                raised.append(error)
                return ()

        outcomes = await asyncio.gather(*map(answer, batch))
        state = self.spending.controller.state(self.clock())
        self.recorder.oracle_budget(state.usd.spent, state.usd.limit)
        if raised:
            raise raised[0]
        return outcomes

    async def close(self) -> None:
        await self.asker.close()

    async def _answer(self, ask: Ask) -> Outcome:
        rubrics, unknown = self._rubrics(ask.request)
        if not rubrics:
            return RefusedRecord("unknown_filter", f"no package of {', '.join(sorted(unknown))}")
        async with self._deciding:
            decision = await self._decide(ask, rubrics, unknown)
            if not decision.admitted:
                self.recorder.oracle_call("declined", 0.0)
                return [_message(ask, Labelled(ask.request.article, {}, ask.request.releases, decision.declined))]
            question = Question(ask.request.article, tuple(rubrics[name] for name in decision.admitted))
            estimates = self._estimates(question)
            self.spending.controller.reserve(estimates)
        outcome = await self._ask(question, ask.replay, estimates)
        if isinstance(outcome, Failed):
            return RefusedRecord(outcome.reason, outcome.detail)
        return [_message(ask, _labelled(ask.request, rubrics, decision, outcome), outcome.key)]

    def _rubrics(self, request: OracleRequest) -> tuple[dict[str, Rubric], dict[str, Declined]]:
        rubrics, unknown = {}, {}
        for name, asked in request.filters.items():
            try:
                rubrics[name] = self.rubric(name, asked.version)
            except PackageError as error:
                log.warning("%s", error)
                unknown[name] = Declined("unknown_filter", asked.propensity)
        return rubrics, unknown

    async def _decide(self, ask: Ask, rubrics: dict[str, Rubric], unknown: dict[str, Declined]) -> Decision:
        ledger = self.asker.ledger
        if stored := await asyncio.to_thread(ledger.decision, ask.key):
            return Decision.from_dict(stored)
        decision = self._thin(ask.request, rubrics, unknown)
        return Decision.from_dict(await asyncio.to_thread(ledger.decide, ask.key, self.clock(), decision.to_dict()))

    def _thin(self, request: OracleRequest, rubrics: dict[str, Rubric], unknown: dict[str, Declined]) -> Decision:
        if not self.asker.provider.paid:
            return Decision(dict.fromkeys(rubrics, 1.0), unknown)
        estimates = self._estimates(Question(request.article, tuple(rubrics.values())))
        chances = self.spending.controller.admit(self.clock(), estimates)
        drawn = uniform(request.article.id, "budget")
        admitted = {name: chance for name, chance in chances.items() if drawn < chance}
        declined = {
            name: Declined("budget", request.filters[name].propensity * chance, estimates[name])
            for name, chance in chances.items()
            if name not in admitted
        }
        self.spending.tally({}, dict.fromkeys(declined, 0.0))
        return Decision(admitted, {**unknown, **declined})

    def _estimates(self, question: Question) -> dict[str, float]:
        """Expected cost in USD by filter: one call, in equal parts."""
        each_usd = self.asker.expect_usd(question) / len(question.rubrics)
        return {rubric.name: each_usd for rubric in question.rubrics}

    async def _ask(self, question: Question, replay: int, estimates: dict[str, float]) -> Answered | Failed:
        controller = self.spending.controller
        try:
            outcome = await self.asker.ask(question, replay=replay)
        finally:
            controller.release(estimates)
        # A redelivery costs nothing more; a replayed dead letter costs what its new calls did.
        fresh_usd = outcome.cost_usd - self.spending.counted.get(outcome.key, 0.0)
        if fresh_usd > 0 and self.asker.provider.paid:
            self.spending.counted[outcome.key] = outcome.cost_usd
            costs = dict.fromkeys(estimates, fresh_usd / len(estimates))
            controller.settle(self.clock(), costs)
            name = "answered" if isinstance(outcome, Answered) else outcome.reason
            self.recorder.oracle_call(name, fresh_usd)
        return outcome


async def open_stage(settings: Settings, recorder: Recorder | None = None) -> OracleStage | None:
    """The stage with its spending rebuilt; None where no oracle can be asked, and requests stay on their topic."""
    if why_not_ready(settings):
        return None
    asker = load_asker(settings, "stream")
    now = time.time()
    asker.ledger.prune(now)
    return OracleStage(
        asker=asker,
        spending=await rebuild_spending(settings, asker.ledger, now),
        rubric=lambda name, version: find_rubric(settings.filters, name, version),
        max_records=_BATCHES_OF_CALLS * settings.oracle_concurrency,
        recorder=recorder or SilentRecorder(),
    )


def _labelled(request: OracleRequest, rubrics: dict[str, Rubric], decision: Decision, outcome: Answered) -> Labelled:
    labels = {}
    for name, answer in outcome.answers.items():
        asked = request.filters[name]
        labels[name] = OracleLabel(
            version=asked.version,
            scores=answer.scores,
            oracle=outcome.oracle,
            prompt_hash=rubrics[name].hash,
            propensity=asked.propensity * decision.admitted[name],
            reason=asked.reason,
            weighted=asked.weighted,
            stage=asked.stage,
            cost_usd=outcome.cost_usd / len(outcome.answers),
            evidence=answer.evidence,
        )
    return Labelled(request.article, labels, request.releases, decision.declined)


def _message(ask: Ask, labelled: Labelled, ask_key: str | None = None) -> Message:
    headers = [(REQUEST, ask.key.encode())]
    if ask_key:
        headers.append((ASK, ask_key.encode()))
    return Message(ORACLE_LABELS, labelled.article.id.encode(), labelled.to_bytes(), tuple(headers))
