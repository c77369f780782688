"""Live quality for the flow page: the oracle's labels against what the stream had predicted."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from consumers.board.catalogue import Catalogue, humanise
from consumers.board.queries import History
from core.estimates import Estimate
from core.messages import OracleLabel
from core.quality import figures
from core.spec import FilterSpec

LATEST = 5_000
MIN_LABELS = 30
"""Below this the interval of any figure is wider than what it could tell."""

MEANING = {
    "error": "How far the weighted score lies from the oracle's, on average, on the scale of 0 to 10; "
    "for articles that passed the gate.",
    "gate": "Of the articles that matter to the filter: the share that its gate let through to the language model.",
    "found": "Of the articles that the oracle puts above low: the share that the stream put there too.",
    "top found": "The same for the highest tier, the rarest and the hardest.",
}


@dataclass(frozen=True, slots=True)
class FilterQuality:
    """Figures of one filter, by the names in MEANING; none while there are fewer than `MIN_LABELS` labels."""

    label: str
    version: str
    labels: int
    figures: Mapping[str, Estimate | None]


@dataclass
class LiveQuality:
    """Figures of the history, computed again at most every `ttl_sec`: the intervals take thousands of draws."""

    history: History
    catalogue: Catalogue
    ttl_sec: float = 30.0
    _known: tuple[float, tuple[int, int], list[FilterQuality]] = field(default=(float("-inf"), (-1, -1), []))

    def figures(self) -> list[FilterQuality]:
        at, labels, found = self._known
        if time.monotonic() - at > self.ttl_sec:
            (row,) = self.history.rows("SELECT count(*), coalesce(max(at_ms), 0) FROM labels")
            if (row[0], row[1]) != labels:
                found = live_quality(self.history, self.catalogue)
            self._known = (time.monotonic(), (row[0], row[1]), found)
        return found


def live_quality(history: History, catalogue: Catalogue) -> list[FilterQuality]:
    """Every filter that has labels, from its latest labels of the newest labelled version."""
    rows = history.rows("SELECT filter, label FROM labels ORDER BY at_ms DESC LIMIT ?", (LATEST,))
    by_filter: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_filter.setdefault(row["filter"], []).append(orjson.loads(row["label"]))
    found = []
    for name, labels in sorted(by_filter.items()):
        version = str(labels[0]["version"])
        if spec := catalogue.spec(name, version):
            found.append(_quality(spec, list(_usable(spec, labels))))
    return found


def _usable(spec: FilterSpec, labels: Sequence[Mapping[str, Any]]) -> Iterator[OracleLabel]:
    """Labels of the spec's version that say what the stream predicted and with what probability it asked."""
    for fields in labels:
        label = OracleLabel(**fields)
        complete = label.weighted is not None and set(label.scores) >= set(spec.dimension_names)
        if complete and label.version == spec.version and 0 < label.propensity <= 1:
            yield label


def _quality(spec: FilterSpec, labels: Sequence[OracleLabel]) -> FilterQuality:
    named: dict[str, Estimate | None] = {}
    if len(labels) >= MIN_LABELS:
        found = figures(spec, labels)
        lowest, highest = spec.tiers[-1].name, spec.tiers[0].name
        named = {
            "error": found.mae,
            "gate": found.gate_recall,
            "found": found.tier_recall[lowest],
            "top found": found.tier_recall[highest],
        }
    return FilterQuality(humanise(spec.name), spec.version, len(labels), named)
