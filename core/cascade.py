"""The cascade, written once: the stream's stages and `stillhouse score` run this same code.

    prepare -> embed -> judge -> score

`prepare` and `embed` are the screen's; `judge` is pure and cheap, so the score stage runs it again on the
embedding that travels with the article: a record is therefore never a mixture of two release sets.
What passes between the steps are named tuples: frozen dataclasses take three times as long to make.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from core.article import Article
from core.claims import Claim, ClaimStore
from core.commerce import COMMERCE, CommerceThresholds, probability
from core.errors import RefusedRecord
from core.gated import Gated
from core.messages import OracleRequest, Rejected, Scored
from core.package import FilterPackage
from core.releases import ReleaseSet
from core.routing import audits_closed
from core.spec import FilterSpec
from core.text import apply_rules, clean_article, content_hash, model_text
from core.verdicts import Raw, Verdict, VerdictTable

Vector = NDArray[np.float32]


class ProbeOutput(NamedTuple):
    """`gate` is the probe's score of relevance; `raw` [dimensions] its estimate on the oracle's scale."""

    gate: float
    raw: Vector


class ScorerInput(NamedTuple):
    """One article for the scorer; only `filters` are to be computed. COMMERCE among them asks for its commerce head."""

    text: str
    embedding: Vector
    filters: tuple[str, ...]


class Encoder(Protocol):
    """Text to vector. The vector of a text must not depend on the batch it came in."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str]) -> Vector:
        """[n, d] float32 of unit length, one row per text."""


class Probes(Protocol):
    """Every filter's probe, and the commerce head, over one embedding."""

    def commerce(self, embedding: Vector) -> float:
        """Calibrated probability that the article sells rather than reports, rounded to 3 decimals."""

    def predict(self, embedding: Vector) -> Mapping[str, ProbeOutput]:
        """Output of each filter's probe by filter name."""


class Scorer(Protocol):
    """The language model with all heads. Results must not depend on the batch either."""

    def score(self, inputs: Sequence[ScorerInput]) -> list[Mapping[str, Vector]]:
        """Per input: raw output [dimensions] on the oracle's scale, by filter name; for COMMERCE [1], a logit."""


@dataclass(frozen=True)
class Models:
    """What predicts, loaded for one release set.

    `engine` names the library and number type that score: between engines only the parity bounds hold.
    """

    encoder: Encoder
    probes: Probes
    scorer: Scorer
    commerce: CommerceThresholds
    engine: str = ""


class Judged(NamedTuple):
    """A gated article with the filters that are to be scored; the others are answered by the probe.

    `doubted`: whether it is commerce is to be read, too.
    """

    gated: Gated
    commerce: float
    probes: Mapping[str, ProbeOutput]
    open: tuple[str, ...]
    doubted: bool = False

    @property
    def asked(self) -> tuple[str, ...]:
        """The heads that the scorer is asked for; none: no model is needed any more."""
        return (*self.open, COMMERCE) if self.doubted else self.open


class ScoreOutcome(NamedTuple):
    """The record for articles.scored, and the request to the oracle if any filter was chosen."""

    scored: Scored
    request: OracleRequest | None


@dataclass(frozen=True)
class Cascade:
    """All active filters of one release set. `gates` False scores every filter (`--no-gate`)."""

    releases: ReleaseSet
    packages: Mapping[str, FilterPackage]
    models: Models
    gates: bool = True

    def prepare(self, articles: Sequence[Article], claims: ClaimStore) -> list[Article | Rejected | RefusedRecord]:
        """Clean, then reject by rule and by duplicate. Answers keep the order of `articles`."""
        cleaned = [clean_article(article) for article in articles]
        hashes = [content_hash(article) for article in cleaned]
        owned = claims.claim([Claim(a.id, h) for a, h in zip(cleaned, hashes, strict=True)])
        answers: list[Article | Rejected | RefusedRecord] = []
        for article, digest, ownership in zip(cleaned, hashes, owned, strict=True):
            if ownership.content != digest:
                answers.append(RefusedRecord("id_conflict", f"id {article.id!r} came before with another text"))
            elif verdict := apply_rules(article):
                answers.append(Rejected(article, verdict.reason, verdict.detail))
            elif ownership.owner != article.id:
                answers.append(Rejected(article, "duplicate", f"same text as {ownership.owner}"))
            else:
                answers.append(article)
        return answers

    def embed(self, articles: Sequence[Article]) -> list[Gated]:
        """One embedding per article."""
        if not articles:
            return []
        vectors = self.models.encoder.encode([model_text(article) for article in articles])
        return [Gated(article, vector) for article, vector in zip(articles, vectors, strict=True)]

    def judge(self, gated: Gated) -> Judged | Rejected:
        """Commerce, probes and gates on the embedding alone."""
        commerce, thresholds = self.models.probes.commerce(gated.embedding), self.models.commerce
        if commerce >= thresholds.rejected_at:
            return Rejected(gated.article, COMMERCE, f"at least {thresholds.rejected_at:g}", commerce)
        probes = self.models.probes.predict(gated.embedding)
        open_filters = tuple(n for n, p in self.packages.items() if self._is_open(p, gated.article, probes[n].gate))
        return Judged(gated, commerce, probes, open_filters, thresholds.doubts(commerce))

    def score(self, batch: Sequence[Judged]) -> list[ScoreOutcome | Rejected]:
        """Score the open filters of each article and compose the records; reject what turns out to be commerce."""
        waiting = [judged for judged in batch if judged.asked]
        inputs = [ScorerInput(model_text(j.gated.article), j.gated.embedding, j.asked) for j in waiting]
        outputs = iter(self.models.scorer.score(inputs) if inputs else [])
        read = [self._read(judged, next(outputs) if judged.asked else {}) for judged in batch]
        kept = [answer for answer in read if not isinstance(answer, Rejected)]
        verdicts = iter(self._table.verdicts([raw for _, raw in kept], self.gates))
        return [answer if isinstance(answer, Rejected) else self._compose(answer[0], next(verdicts)) for answer in read]

    @cached_property
    def _table(self) -> VerdictTable:
        return VerdictTable(list(self.packages.values()))

    def _read(self, judged: Judged, outputs: Mapping[str, Vector]) -> tuple[Judged, Raw] | Rejected:
        """What the scorer says of commerce where that is in doubt, and of the filters."""
        article = judged.gated.article
        if judged.doubted:
            commerce, thresholds = probability(float(outputs[COMMERCE][0])), self.models.commerce
            if thresholds.confirms(commerce):
                return Rejected(article, COMMERCE, f"read: at least {thresholds.confirmed_at:g}", commerce)
            judged = judged._replace(commerce=commerce)
        probes = [judged.probes[name] for name in self.packages]
        scorer = [outputs.get(name) for name in self.packages]
        return judged, Raw(article.id, [probe.gate for probe in probes], [probe.raw for probe in probes], scorer)

    def _is_open(self, package: FilterPackage, article: Article, gate_score: float) -> bool:
        if not self.gates:
            return True
        if not passes_prefilter(package.spec, article):
            return False
        return package.gate.is_open(gate_score) or audits_closed(package.spec, article.id)

    def _compose(self, judged: Judged, verdict: Verdict) -> ScoreOutcome:
        article = judged.gated.article
        scored = Scored(article, judged.commerce, verdict.results, self.releases.id)
        request = OracleRequest(article, verdict.asks, self.releases.id) if verdict.asks else None
        return ScoreOutcome(scored, request)


def passes_prefilter(spec: FilterSpec, article: Article) -> bool:
    """True if the filter's own rules let the article through."""
    rules = spec.prefilter
    if rules.min_chars and len(article.content) < rules.min_chars:
        return False
    if rules.languages and article.language and article.language not in rules.languages:
        return False
    return article.source not in rules.exclude_sources
