"""Asking: one question becomes exactly one answer or one named failure, however the API behaves.

not paid (402, 429, 5xx, no connection)   pause with backoff and jitter, send again; give way after the patience
refused answer (bad JSON, 11 of 10, ...)  ask once more with the reason; a second one is a failure
possibly paid (deadline, broken, killed)  a failure at the expected cost, never sent again by itself
"""

import asyncio
import hashlib
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from core.text import content_hash
from models.oracle.answer import FilterAnswer, RefusedAnswer, parse_answer
from models.oracle.ledger import Busy, Finished, Intent, Ledger, Origin
from models.oracle.pause import Backoff, OracleAway, Pause
from models.oracle.pricing import Estimator, Price
from models.oracle.prompt import Prompt, Question, build_prompt
from models.oracle.provider import AnswerLost, NoAnswer, Provider, Reply, Throttled, Unavailable

_WORTH_A_RETRY = {"empty", "truncated", "malformed_response"}
_BUSY_POLL_SEC = 0.05


@dataclass(frozen=True, slots=True)
class Answered:
    """`oracle` marks the labels; `cost_usd` covers every call of this ask, refused ones included."""

    key: str
    answers: dict[str, FilterAnswer]
    oracle: str
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Failed:
    """No label will come of this ask. `reason` is a code for dead letters and summaries."""

    key: str
    reason: str
    detail: str
    cost_usd: float


@dataclass(frozen=True)
class AskPolicy:
    """How one process asks."""

    origin: Origin
    concurrency: int = 8
    backoff: Backoff = field(default_factory=Backoff)


class Asker:
    """Bounded concurrent asks over one provider and one ledger."""

    def __init__(self, provider: Provider, ledger: Ledger, price: Price, policy: AskPolicy) -> None:
        self.provider = provider
        self.ledger = ledger
        self.price = price
        self.estimator = Estimator(price)
        self._policy = policy
        self._slots = asyncio.Semaphore(policy.concurrency)
        self._pause = Pause(policy.backoff)

    def expect_usd(self, question: Question) -> float:
        return self.estimator.expect_usd(build_prompt(question))

    def key(self, question: Question) -> str:
        return ask_key(self.provider.identity, question)

    async def ask(self, question: Question, *, replay: int = 0) -> Answered | Failed:
        """Answer from the ledger or from the provider. a higher `replay` repeats an ask that failed before.

        Raises:
            OracleAway: the provider did not take the call within the patience; it was not paid.
        """
        async with self._slots:
            return await _Conversation(self, build_prompt(question), replay).run()

    async def close(self) -> None:
        await self.provider.close()
        self.ledger.close()


class _Conversation:
    """The calls of one ask."""

    def __init__(self, asker: Asker, prompt: Prompt, replay: int) -> None:
        self._asker = asker
        self._ledger = asker.ledger
        self._policy = asker._policy
        self._pause = asker._pause
        self._prompt = prompt
        self._replay = replay
        self._key = asker.key(prompt.question)
        self._estimate_usd = asker.estimator.expect_usd(prompt)
        self._deadline = time.monotonic() + self._policy.backoff.patience_sec
        self._failures = 0
        self._refused = 0

    async def run(self) -> Answered | Failed:
        while True:
            await self._pause.wait(self._deadline)
            if known := await self._begin():
                return outcome_of(self._key, known)
            try:
                reply = await self._asker.provider.generate(self._prompt)
            except Throttled as error:
                await self._postpone(0.0)
                self._pause.start(str(error), error.retry_after_sec)
            except Unavailable as error:
                await self._postpone(0.0)
                await self._back_off(error)
            except AnswerLost as error:
                return await self._fail(error.reason, error.detail, self._estimate_usd)
            except NoAnswer as error:
                self._pause.end()
                cost_usd = self._asker.price.cost_usd(error.usage) if error.usage else 0.0
                if end := await self._refuse(error.reason, error.detail, cost_usd, error.reason in _WORTH_A_RETRY):
                    return end
            except BaseException as error:  # cancelled, or a fault of ours: the call may have been paid
                body = {"reason": "interrupted", "detail": f"{error!r}"[:300]}
                self._ledger.finish(self._key, "failed", body, self._estimate_usd)
                raise
            else:
                self._pause.end()
                if end := await self._judge(reply):
                    return end

    async def _begin(self) -> Finished | None:
        names = tuple(sorted(self._prompt.question.dimensions))
        intent = Intent(self._key, self._policy.origin, names, self._estimate_usd, self._replay)
        while isinstance(known := await asyncio.to_thread(self._ledger.begin, intent, time.time()), Busy):
            await asyncio.sleep(_BUSY_POLL_SEC)
        return known

    async def _judge(self, reply: Reply) -> Answered | Failed | None:
        cost_usd = self._asker.price.cost_usd(reply.usage)
        self._asker.estimator.learn(self._prompt, cost_usd)
        try:
            body = read_reply(self._prompt.question, reply, self._asker.provider.name)
        except RefusedAnswer as refusal:
            worth = refusal.reason != "text_instructs_reader"
            return await self._refuse(refusal.reason, refusal.detail, cost_usd, worth)
        return await self._finish("answered", body, cost_usd)

    async def _refuse(self, reason: str, detail: str, cost_usd: float, worth_a_retry: bool) -> Answered | Failed | None:
        """None: ask once more."""
        self._refused += 1
        if self._refused > 1 or not worth_a_retry:
            return await self._fail(reason, detail, cost_usd)
        await self._postpone(cost_usd)
        self._prompt = self._prompt.retried(f"{reason}, {detail}")
        return None

    async def _fail(self, reason: str, detail: str, cost_usd: float) -> Answered | Failed:
        return await self._finish("failed", {"reason": reason, "detail": detail}, cost_usd)

    async def _finish(
        self, state: Literal["answered", "failed"], body: dict[str, Any], cost_usd: float
    ) -> Answered | Failed:
        # The ledger syncs the disk, which takes up to a second on a busy machine: too long for heartbeats to wait.
        finished = await asyncio.to_thread(self._ledger.finish, self._key, state, body, cost_usd)
        return outcome_of(self._key, finished)

    async def _postpone(self, cost_usd: float) -> None:
        await asyncio.to_thread(self._ledger.postpone, self._key, cost_usd)

    async def _back_off(self, error: Unavailable) -> None:
        self._failures += 1
        pause_sec = self._policy.backoff.draw_sec(self._failures)
        if time.monotonic() + pause_sec > self._deadline:
            raise OracleAway(f"The oracle is away: {error}.", action="Requests wait on their topic.") from error
        await asyncio.sleep(pause_sec)


def ask_key(identity: str, question: Question) -> str:
    """Equal for the same words judged by the same rubrics and the same oracle, whoever asks."""
    rubrics = sorted(f"{r.name}/{r.spec.version}/{r.hash}" for r in question.rubrics)
    return hashlib.sha256("|".join([identity, content_hash(question.article), *rubrics]).encode()).hexdigest()[:32]


def read_reply(question: Question, reply: Reply, provider: str) -> dict[str, Any]:
    """A reply as the ledger keeps it. Raises RefusedAnswer."""
    answers = parse_answer(reply.text, question.dimensions, question.article.content)
    return {"oracle": reply.oracle or provider, "answers": {name: asdict(answer) for name, answer in answers.items()}}


def outcome_of(key: str, finished: Finished) -> Answered | Failed:
    """A ledger entry as the outcome of its ask."""
    body = finished.outcome
    if finished.state == "failed":
        return Failed(key, body["reason"], body["detail"], finished.cost_usd)
    answers = {name: FilterAnswer(**answer) for name, answer in body["answers"].items()}
    return Answered(key, answers, body["oracle"], finished.cost_usd)
