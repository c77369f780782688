"""The score stage: gated records to scored ones, and the requests to the oracle that active learning chose."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from consumers.active import Active
from consumers.metrics import StageRecorder
from consumers.records import Message, Outcome, Record
from consumers.screen import rejected_message, scored_message, silent
from core.cascade import ScoreOutcome
from core.messages import Gated, Rejected
from core.topics import GATED, ORACLE_REQUESTS


@dataclass
class ScoreStage:
    """Judges again under its own release set: the screen's may differ while a release is rolled out."""

    active: Active
    recorder: StageRecorder = field(default_factory=silent)
    name: str = "score"
    source: str = GATED

    def decode(self, record: Record) -> Gated:
        return Gated.from_bytes(record.body)

    def handle(self, batch: Sequence[Gated]) -> Sequence[Outcome]:
        cascade = self.active.cascade
        judged = [cascade.judge(gated) for gated in batch]
        with self.recorder.model():
            outcomes = cascade.score([item for item in judged if not isinstance(item, Rejected)])
        self.recorder.scored([outcome.scored for outcome in outcomes])
        self.recorder.rejected([item.reason for item in judged if isinstance(item, Rejected)])
        scored = iter(outcomes)
        engine = cascade.models.engine.encode()
        return [
            [rejected_message(item)] if isinstance(item, Rejected) else _messages(next(scored), engine)
            for item in judged
        ]


def _messages(outcome: ScoreOutcome, engine: bytes) -> list[Message]:
    messages = [scored_message(outcome.scored)._replace(headers=(("engine", engine),))]
    if outcome.request:
        messages.append(Message(ORACLE_REQUESTS, outcome.request.article.id.encode(), outcome.request.to_bytes()))
    return messages
