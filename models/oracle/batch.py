"""Gemini's Batch API: half the price, answers within a day. The ledger knows every job, so none is made twice.

1. note     the asks and the job's own name go into the ledger
2. create   the job carries that name; a kill before its answer arrives is mended by finding the name again
3. collect  answers go into the ledger as those of single calls do; what was refused is left to single calls
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.genai import types
from google.genai.errors import APIError

from core.article import Article
from core.errors import StillhouseError
from models.oracle.answer import RefusedAnswer
from models.oracle.ask import Asker, read_reply
from models.oracle.gemini import GeminiProvider, reply_of
from models.oracle.ledger import Intent
from models.oracle.pricing import BATCH_DISCOUNT, Usage
from models.oracle.prompt import Question, build_prompt
from models.oracle.provider import NoAnswer, Throttled, Unavailable, error_of_status

log = logging.getLogger("stillhouse.oracle")

MAX_REQUESTS = 500
"""Inlined requests must stay below 20 MB per job; a prompt with its article is at most 30 KB."""

_RECENT_SEC = 3 * 86_400
"""Jobs expire after 48 hours at the provider."""

_UNSENT = "unsent:"
_KEY = "ask"


@dataclass(frozen=True, slots=True)
class Job:
    """`name` is the provider's, or `unsent:` and our own name where the answer to its creation was never seen."""

    name: str
    keys: tuple[str, ...]


class BatchRun:
    """All jobs of one file. `run` names it across restarts."""

    def __init__(self, asker: Asker, run: str, poll_sec: float = 30.0) -> None:
        if not isinstance(asker.provider, GeminiProvider):
            raise StillhouseError("Only Gemini has a Batch API here.", action="Leave out --batch.")
        self._asker = asker
        self._provider = asker.provider
        self._run = run
        self._poll_sec = poll_sec
        self._keys: frozenset[str] = frozenset()

    async def label(self, questions: Sequence[Question], budget_usd: float | None, tell: Callable[[str], None]) -> None:
        """Bring every question to an answer in the ledger, or leave it to single calls."""
        by_key = {self._asker.key(question): question for question in questions}
        self._keys = frozenset(by_key)
        jobs = [Job(name, tuple(keys)) for name, keys in self._asker.ledger.batches(self._run)]
        jobs = [await self._found_again(job) for job in jobs]
        under_way = {key for job in jobs for key in job.keys}
        fresh = [key for key in by_key if key not in under_way and self._asker.ledger.lookup(key) is None]
        for start in range(0, len(fresh), MAX_REQUESTS):
            chunk = self._affordable([(key, by_key[key]) for key in fresh[start : start + MAX_REQUESTS]], budget_usd)
            if chunk:
                jobs.append(await self._create(chunk))
        for job in jobs:
            await self._collect(job, by_key, tell)

    def _affordable(
        self, chunk: Sequence[tuple[str, Question]], budget_usd: float | None
    ) -> list[tuple[str, Question]]:
        if budget_usd is None:
            return list(chunk)
        recent = self._asker.ledger.spending("score", time.time() - _RECENT_SEC)
        spent = sum(spend.cost_usd for spend in recent if spend.key in self._keys)
        taken = []
        for key, question in chunk:
            spent += self._asker.expect_usd(question) * BATCH_DISCOUNT
            if spent > budget_usd:
                break
            taken.append((key, question))
        return taken

    async def _create(self, chunk: Sequence[tuple[str, Question]]) -> Job:
        ledger = self._asker.ledger
        keys = []
        requests = []
        for key, question in chunk:
            prompt = build_prompt(question)
            estimate = self._asker.estimator.expect_usd(prompt) * BATCH_DISCOUNT
            names = tuple(question.dimensions)
            if ledger.begin(Intent(key, "score", names, estimate, outlives=True), time.time()) is None:
                keys.append(key)
                requests.append(
                    types.InlinedRequest(
                        contents=prompt.user, metadata={_KEY: key}, config=self._provider.config(prompt)
                    )
                )
        own_name = f"stillhouse-{hashlib.sha256('|'.join(keys).encode()).hexdigest()[:24]}"
        ledger.add_batch(self._run, _UNSENT + own_name, time.time(), keys)
        try:
            created = await self._provider.client.aio.batches.create(
                model=self._provider.model, src=requests, config=types.CreateBatchJobConfig(display_name=own_name)
            )
        except APIError as error:
            self._give_back(Job(_UNSENT + own_name, tuple(keys)))
            raise StillhouseError(
                f"Gemini did not take the batch: {error.code} {error.message}.",
                action="Nothing was paid. Run it again with --resume, or without --batch.",
            ) from error
        return self._named(Job(_UNSENT + own_name, tuple(keys)), created.name or "")

    async def _found_again(self, job: Job) -> Job:
        """The same job under the provider's name; one that was never made is given back."""
        if not job.name.startswith(_UNSENT):
            return job
        async for listed in await self._provider.client.aio.batches.list():
            if listed.display_name == job.name.removeprefix(_UNSENT):
                return self._named(job, listed.name or "")
        return self._give_back(job)

    async def _collect(self, job: Job, by_key: dict[str, Question], tell: Callable[[str], None]) -> None:
        if not job.keys:
            return
        while not (state := await self._state(job)).done:
            tell(f"{job.name}: {str(getattr(state.state, 'value', state.state)).removeprefix('JOB_STATE_').lower()}")
            await asyncio.sleep(self._poll_sec)
        responses = (state.dest.inlined_responses if state.dest else None) or []
        for position, response in enumerate(responses):
            key = (response.metadata or {}).get(_KEY) or job.keys[position]
            if key in by_key and self._asker.ledger.lookup(key) is None:
                self._settle(key, by_key[key], response)
        left = [key for key in job.keys if self._asker.ledger.lookup(key) is None]
        if left and not responses:
            log.warning("%s ended as %s; its %d articles are asked one by one", job.name, state.state, len(left))
        self._give_back(Job(job.name, tuple(left)))

    async def _state(self, job: Job) -> types.BatchJob:
        while True:
            try:
                return await self._provider.client.aio.batches.get(name=job.name)
            except APIError as error:
                if not isinstance(error_of_status(error.code, f"{error.message}"), Throttled | Unavailable):
                    raise
                log.warning("%s: %s; asked again in %g s", job.name, error, self._poll_sec)
                await asyncio.sleep(self._poll_sec)

    def _settle(self, key: str, question: Question, response: types.InlinedResponse) -> None:
        ledger, price = self._asker.ledger, self._asker.price
        if response.response is None:
            ledger.postpone(key, 0.0)
            return
        usage = Usage()
        try:
            reply = reply_of(response.response)
            usage = reply.usage
            body = read_reply(question, reply, self._provider.name)
        except NoAnswer as refusal:
            ledger.postpone(key, price.cost_usd(refusal.usage or usage) * BATCH_DISCOUNT)
        except RefusedAnswer as refusal:
            if refusal.reason == "text_instructs_reader":
                failure = {"reason": refusal.reason, "detail": refusal.detail}
                ledger.finish(key, "failed", failure, price.cost_usd(usage) * BATCH_DISCOUNT)
            else:
                ledger.postpone(key, price.cost_usd(usage) * BATCH_DISCOUNT)
        else:
            ledger.finish(key, "answered", body, price.cost_usd(usage) * BATCH_DISCOUNT)

    def _named(self, job: Job, name: str) -> Job:
        self._asker.ledger.rename_batch(job.name, name)
        return Job(name, job.keys)

    def _give_back(self, job: Job) -> Job:
        """Asks that the job did not answer may be sent by single calls; the job is forgotten."""
        for key in job.keys:
            self._asker.ledger.postpone(key, 0.0)
        self._asker.ledger.drop_batch(job.name)
        return Job(job.name, ())


def run_name(identity: str, articles: Sequence[Article], filter_label: str) -> str:
    """Equal for the same file, filter and oracle."""
    ids = "|".join(article.id for article in articles)
    return hashlib.sha256(f"{identity}|{filter_label}|{ids}".encode()).hexdigest()[:24]
