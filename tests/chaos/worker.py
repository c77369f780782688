"""One worker process of the chaos tests: `python -m tests.chaos.worker STAGE...`; settings come from the environment.

Fake models and a slow fake oracle; everything else is what `stillhouse run` runs.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from consumers import runtime
from consumers.records import Message, Outcome, Record
from core.messages import Labelled, OracleLabel, OracleRequest
from core.settings import load_settings
from core.topics import ORACLE_LABELS, ORACLE_REQUESTS
from tests.support.fakes import fake_loader

ORACLE_PAUSE_SEC = 0.3
MODEL_PAUSE_SEC = 0.1


@dataclass
class SlowOracle:
    """Labels every filter that it is asked for, after a while."""

    name: str = "oracle"
    source: str = ORACLE_REQUESTS

    def decode(self, record: Record) -> OracleRequest:
        return OracleRequest.from_bytes(record.body)

    async def handle(self, batch: Sequence[OracleRequest]) -> Sequence[Outcome]:
        await asyncio.sleep(ORACLE_PAUSE_SEC)
        return [[_label(request)] for request in batch]


def _label(request: OracleRequest) -> Message:
    labels = {
        name: OracleLabel(ask.version, {"a": 5.0, "b": 5.0}, "fake", "0" * 16, ask.propensity, ask.reason)
        for name, ask in request.filters.items()
    }
    body = Labelled(request.article, labels, request.releases).to_bytes()
    return Message(ORACLE_LABELS, request.article.id.encode(), body)


async def _open_oracle(settings, recorder=None) -> SlowOracle:
    return SlowOracle()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(name)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    runtime.open_oracle = _open_oracle
    settings = load_settings()
    pause_sec = float(os.environ.get("CHAOS_PAUSE_SEC", MODEL_PAUSE_SEC))
    asyncio.run(runtime.run_stream(settings, sys.argv[1:], fake_loader(settings, pause_sec=pause_sec)))
