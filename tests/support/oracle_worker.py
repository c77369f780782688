"""The oracle stage in a process that may be killed at any moment, over files that stand for two Kafka topics.

1. read    the next batch after the committed position
2. handle  in the stage
3. publish one line per outcome, synced to disk
4. commit  the position; a kill before it brings the batch again
"""

import asyncio
import os
from pathlib import Path

import orjson

from consumers.oracle import OracleStage
from consumers.records import Record
from consumers.spending import Spending, count_ledger
from core.budget import Budget, BudgetController
from core.errors import RefusedRecord
from core.topics import ORACLE_REQUESTS
from models.oracle.ask import Asker, AskPolicy
from models.oracle.gemini import GeminiOptions, GeminiProvider
from models.oracle.ledger import Ledger
from tests.support.oracle import FAST, PRICE, rubric

BATCH = 12


def work(url: str, folder: str) -> None:
    """Handle every request of folder/requests; ends when all are committed."""
    asyncio.run(_work(url, Path(folder)))


async def _work(url: str, folder: Path) -> None:
    provider = GeminiProvider(GeminiOptions("gemini-2.5-flash", "key", timeout_sec=20.0, base_url=url))
    asker = Asker(provider, Ledger(folder / "oracle.db"), PRICE, AskPolicy("stream", concurrency=6, backoff=FAST))
    spending = Spending(BudgetController(Budget(100.0, 100_000)))
    count_ledger(spending, asker.ledger, 0.0, 0.0)
    stage = OracleStage(asker, spending, lambda name, version: rubric(name), max_records=BATCH)
    requests = (folder / "requests").read_bytes().splitlines()
    committed = folder / "committed"
    position = int(committed.read_text()) if committed.exists() else 0
    with (folder / "outcomes").open("ab") as outcomes:
        while position < len(requests):
            batch = [Record(ORACLE_REQUESTS, 0, n, 0, None, requests[n]) for n in range(position, len(requests))][
                :BATCH
            ]
            for record, outcome in zip(batch, await stage.handle([stage.decode(r) for r in batch]), strict=True):
                outcomes.write(orjson.dumps({"request": record.offset, **_told(outcome)}) + b"\n")
            outcomes.flush()
            os.fsync(outcomes.fileno())
            position += len(batch)
            _replace(committed, str(position))
    await asker.close()


def _told(outcome) -> dict[str, str]:
    if isinstance(outcome, RefusedRecord):
        return {"dead": outcome.reason}
    (message,) = outcome
    return {"label": message.value.decode()}


def _replace(path: Path, text: str) -> None:
    """Atomic, as a commit is."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)
