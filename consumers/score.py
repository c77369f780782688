"""The score stage: gated records to scored ones, and the requests to the oracle that active learning chose."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from consumers.active import Active
from consumers.recorder import StageRecorder
from consumers.records import Message, Outcome, Record
from consumers.screen import rejected_message, scored_message, silent
from core.cascade import Judged, ScoreOutcome
from core.errors import RefusedRecord
from core.gated import Gated
from core.messages import Rejected
from core.topics import GATED, ORACLE_REQUESTS


@dataclass
class ScoreStage:
    """Judges again under its own release set: the screen's may differ while a release is rolled out."""

    active: Active
    recorder: StageRecorder = field(default_factory=silent)
    name: str = "score"
    source: str = GATED

    def decode(self, record: Record) -> Gated:
        gated, width = Gated.from_bytes(record.body), self.active.cascade.models.encoder.width
        if gated.embedding.size != width:
            raise RefusedRecord("other_encoder", f"{gated.embedding.size} numbers, the active encoder gives {width}")
        return gated

    def handle(self, batch: Sequence[Gated]) -> Sequence[Outcome]:
        cascade = self.active.cascade
        judged = [cascade.judge(gated) for gated in batch]
        with self.recorder.model():
            scored = iter(cascade.score([item for item in judged if isinstance(item, Judged)]))
        outcomes = [next(scored) if isinstance(item, Judged) else item for item in judged]
        self.recorder.scored([outcome.scored for outcome in outcomes if isinstance(outcome, ScoreOutcome)])
        self.recorder.rejected([outcome.reason for outcome in outcomes if isinstance(outcome, Rejected)])
        engine = cascade.models.engine.encode()
        return [_messages(outcome, engine) for outcome in outcomes]


def _messages(outcome: ScoreOutcome | Rejected, engine: bytes) -> list[Message]:
    if isinstance(outcome, Rejected):
        return [rejected_message(outcome)]
    messages = [scored_message(outcome.scored, (("engine", engine),))]
    if outcome.request:
        messages.append(Message(ORACLE_REQUESTS, outcome.request.article.id.encode(), outcome.request.to_bytes()))
    return messages
