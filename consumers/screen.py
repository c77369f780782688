"""The screen stage: raw records to gated, rejected or, where every gate is closed, scored ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from consumers.active import Active
from consumers.recorder import SilentRecorder, StageRecorder
from consumers.records import Headers, Message, Outcome, Record
from core.article import Article, decode_article
from core.cascade import Judged, ScoreOutcome
from core.claims import ClaimStore
from core.errors import RefusedRecord
from core.gated import Gated
from core.messages import Rejected, Scored
from core.topics import GATED, RAW, REJECTED, SCORED


def silent() -> StageRecorder:
    return SilentRecorder().stage("")


@dataclass
class ScreenStage:
    """Thin: the cascade decides, this turns its answers into messages."""

    active: Active
    claims: ClaimStore
    recorder: StageRecorder = field(default_factory=silent)
    name: str = "screen"
    source: str = RAW

    def decode(self, record: Record) -> Article:
        return decode_article(record.body)

    def handle(self, batch: Sequence[Article]) -> Sequence[Outcome]:
        cascade = self.active.cascade
        prepared = cascade.prepare(batch, self.claims)
        with self.recorder.model():
            gated = iter(cascade.embed([item for item in prepared if isinstance(item, Article)]))
            answers = [cascade.judge(next(gated)) if isinstance(item, Article) else item for item in prepared]
            closed = cascade.score([item for item in answers if isinstance(item, Judged) and not item.asked])
        scored = [outcome.scored for outcome in closed if isinstance(outcome, ScoreOutcome)]  # nothing is doubted
        self.recorder.scored(scored)
        self.recorder.rejected([answer.reason for answer in answers if isinstance(answer, Rejected)])
        ready = iter(scored)
        return [_outcome(answer, ready) for answer in answers]


def _outcome(answer: Judged | Rejected | RefusedRecord, scored: Iterator[Scored]) -> Outcome:
    match answer:
        case Rejected():
            return [rejected_message(answer)]
        case Judged(asked=()):
            return [scored_message(next(scored))]
        case Judged():
            return [gated_message(answer.gated)]
        case RefusedRecord():
            return answer


def rejected_message(rejected: Rejected) -> Message:
    return Message(REJECTED, rejected.article.id.encode(), rejected.to_bytes())


def scored_message(scored: Scored, headers: Headers = ()) -> Message:
    return Message(SCORED, scored.article.id.encode(), scored.to_bytes(), headers)


def gated_message(gated: Gated) -> Message:
    return Message(GATED, gated.article.id.encode(), gated.to_bytes())
