"""The cascade, written once: the stream's stages and `stillhouse score` run this same code.

    prepare -> embed -> judge -> score

`prepare` and `embed` are the screen's; `judge` is pure and cheap, so the score stage runs it again on the
embedding that travels with the article: a record is therefore never a mixture of two release sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.article import Article
from core.calibration import Stage
from core.claims import Claim, ClaimStore
from core.commerce import COMMERCE, CommerceThresholds, probability
from core.errors import RefusedRecord
from core.messages import FilterResult, Gated, OracleAsk, OracleRequest, Rejected, Scored
from core.package import FilterPackage
from core.releases import ReleaseSet
from core.routing import Evidence, RoutingDecision, audits_closed, route, route_audited
from core.scoring import weigh
from core.spec import FilterSpec
from core.text import apply_rules, clean_article, content_hash, model_text

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ProbeOutput:
    """`gate` is the probe's score of relevance; `raw` [dimensions] its estimate on the oracle's scale."""

    gate: float
    raw: Vector


@dataclass(frozen=True, slots=True)
class ScorerInput:
    """One article for the scorer; only `filters` are to be computed. COMMERCE among them asks for its commerce head."""

    text: str
    embedding: Vector
    filters: tuple[str, ...]


class Encoder(Protocol):
    """Text to vector. The vector of a text must not depend on the batch it came in."""

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


@dataclass(frozen=True)
class Judged:
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


@dataclass(frozen=True)
class ScoreOutcome:
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
        raw = iter(self.models.scorer.score(inputs) if inputs else [])
        return [self._answer(judged, next(raw) if judged.asked else {}) for judged in batch]

    def _answer(self, judged: Judged, raw: Mapping[str, Vector]) -> ScoreOutcome | Rejected:
        if not judged.doubted:
            return self._compose(judged, raw)
        commerce, thresholds = probability(float(raw[COMMERCE][0])), self.models.commerce
        if thresholds.confirms(commerce):
            return Rejected(judged.gated.article, COMMERCE, f"read: at least {thresholds.confirmed_at:g}", commerce)
        return self._compose(replace(judged, commerce=commerce), raw)

    def _is_open(self, package: FilterPackage, article: Article, gate_score: float) -> bool:
        if not self.gates:
            return True
        if not passes_prefilter(package.spec, article):
            return False
        return package.gate.is_open(gate_score) or audits_closed(package.spec, article.id)

    def _compose(self, judged: Judged, raw: Mapping[str, Vector]) -> ScoreOutcome:
        article = judged.gated.article
        results: dict[str, FilterResult] = {}
        asks: dict[str, OracleAsk] = {}
        for name, package in self.packages.items():
            probe, output = judged.probes[name], raw.get(name)
            audited = self.gates and output is not None and not package.gate.is_open(probe.gate)
            result, decision = _result(package, article, probe, output, audited)
            results[name] = result
            if decision.reason:
                asks[name] = OracleAsk(
                    result.version, decision.reason, decision.propensity, result.weighted, result.stage
                )
        scored = Scored(article, judged.commerce, results, self.releases.id)
        request = OracleRequest(article, asks, self.releases.id) if asks else None
        return ScoreOutcome(scored, request)


def passes_prefilter(spec: FilterSpec, article: Article) -> bool:
    """True if the filter's own rules let the article through."""
    rules = spec.prefilter
    if len(article.content) < rules.min_chars:
        return False
    if rules.languages and article.language and article.language not in rules.languages:
        return False
    return article.source not in rules.exclude_sources


def _result(
    package: FilterPackage, article: Article, probe: ProbeOutput, raw: Vector | None, audited: bool
) -> tuple[FilterResult, RoutingDecision]:
    """One filter's result from the scorer's output, or from the probe's where the gate closed it.

    `audited`: the gate closed the filter, and the audit had it scored all the same.
    """
    spec = package.spec
    probe_scores = package.calibration.apply("probe", spec.dimension_names, probe.raw)
    probe_weighted = weigh(spec, probe_scores)
    stage: Stage = "probe" if raw is None else "scorer"
    scores, weighted = probe_scores, probe_weighted
    if raw is not None:
        scores = package.calibration.apply("scorer", spec.dimension_names, raw)
        weighted = weigh(spec, scores)
    band = package.intervals.band(stage)
    gap = abs(weighted.value - probe_weighted.value)
    interval = band.interval(weighted.value, gap) if band else None
    result = FilterResult(
        version=spec.version,
        stage=stage,
        scores=scores,
        weighted=weighted.value,
        interval=interval,
        tier=weighted.tier,
        gatekeeper=weighted.gatekeeper,
        percentile=package.normalisation.percentile(weighted.value),
        oracle=None,
    )
    if raw is None:
        return result, RoutingDecision(0.0, None)
    if audited:
        return replace(result, oracle="audit"), route_audited(spec)
    decision = route(spec, article.id, Evidence(weighted.value, interval, probe_weighted.value))
    return replace(result, oracle=decision.reason), decision
