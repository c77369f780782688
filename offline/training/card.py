"""The model card: what a filter was trained on and how well it does, beside its floors."""

from collections.abc import Mapping
from typing import Any

from core.spec import FilterSpec

_FLOOR_TITLES = {
    "median": "median of the training labels",
    "tfidf_ridge": "TF-IDF + ridge",
    "encoder_ridge": "e5 embedding + ridge",
}
_COLUMNS = ("mae", "spearman", "average_precision", "mae_relevant", "spread")


def model_card(spec: FilterSpec, report: Mapping[str, Any], data: Mapping[str, Any], notes: list[str]) -> str:
    """Markdown. Args: report: of offline.evaluation; data: counts and fingerprint; notes: known failures."""
    lines = [
        f"# {spec.name} {spec.version}",
        "",
        f"{spec.description}. Status: {spec.status}.",
        "",
        "## Data",
        "",
        f"{data['train']} articles to train on, {data['val']} to calibrate, {data['test']} kept back for the figures "
        "below; near-duplicates stay on one side of the split. Labels of several annotators are averaged.",
        "",
        "| source | articles | labels by |",
        "|---|---|---|",
        *(f"| {name} | {count} | {', '.join(data['oracles'])} |" for name, count in data["sources"].items()),
        "",
        f"## Weighted score on {report['articles']} held-out articles",
        "",
        f"Relevant means that the oracle gives at least {spec.gate.relevant_at:g}: "
        f"{report['weighted'].get('relevant', 0):.0f} articles.",
        "",
        "| | MAE | Spearman | average precision of relevant | MAE on relevant | predicted spread / oracle's |",
        "|---|---|---|---|---|---|",
        _row("**this filter**", report["weighted"]),
        _row("this filter behind its gate", report["cascade"]),
        *(_row(_FLOOR_TITLES[name], found) for name, found in report["floors"].items()),
    ]
    if report["noise"]:
        lines.append(_row("one annotator against another", report["noise"]))
    lines += [*_dimensions(report), *_tiers(report), *_gate_and_intervals(report), *_languages(report)]
    lines += ["", "## Known failures", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)


def _row(title: str, found: Mapping[str, float]) -> str:
    return f"| {title} | " + " | ".join(_number(found.get(column)) for column in _COLUMNS) + " |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _dimensions(report: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {_number(found['mae'])} | {_number(found.get('spearman'))} | {_number(found.get('spread'))} |"
        for name, found in report["dimensions"].items()
    ]
    return ["", "## Dimensions", "", "| dimension | MAE | Spearman | spread |", "|---|---|---|---|", *rows]


def _tiers(report: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {name} (>= {found['at_least']:g}) | {found['articles']} | {_number(found['recall'])} "
        f"| {_number(found['precision'])} |"
        for name, found in report["tiers"].items()
        if "at_least" in found
    ]
    return ["", "## Tiers", "", "| tier | articles | recall | precision |", "|---|---|---|---|", *rows]


def _gate_and_intervals(report: Mapping[str, Any]) -> list[str]:
    gate, covered = report["gate"], report["intervals"]
    lines = [
        "",
        "## Gate and intervals",
        "",
        f"The gate closes {gate['closed_share']:.0%} of the held-out articles and misses {gate['misses']} of "
        f"{gate['positives']} relevant ones (one-sided 95% bound {gate['miss_rate_upper95']:.1%}).",
    ]
    if "all" in covered:
        lines.append(
            f"The 90% intervals hold the oracle's score for {covered['all']:.1%} of the articles; "
            f"their mean width is {covered['all_width']:.2f}."
        )
    return lines


def _languages(report: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {found['articles']} | {found['mae']:.3f} | {found['bias']:+.3f} |"
        for name, found in report["languages"].items()
    ]
    return ["", "## Languages", "", "| language | articles | MAE | bias |", "|---|---|---|---|", *rows]


def known_failures(report: Mapping[str, Any]) -> list[str]:
    """What the held-out figures show to be weak, in words."""
    notes = []
    weighted = report["weighted"]
    if weighted.get("mae_relevant", 0) > 2 * weighted["mae"]:
        notes.append(
            f"Relevant articles are off by {weighted['mae_relevant']:.2f} on average, all articles by "
            f"{weighted['mae']:.2f}: single scores of relevant articles deserve their interval."
        )
    if weighted.get("relevant", 0) < 20:
        notes.append(
            f"Only {weighted.get('relevant', 0):.0f} relevant articles were kept back: figures on them are rough."
        )
    for name, found in report["tiers"].items():
        if "at_least" in found and found["recall"] is not None and found["recall"] < 0.7:
            notes.append(f"Tier {name}: {found['recall']:.0%} of {found['articles']} such articles are found.")
    worst = max(report["languages"].items(), key=lambda item: item[1]["mae"], default=None)
    if worst and worst[1]["mae"] > 1.5 * weighted["mae"]:
        notes.append(f"Language {worst[0]} has an MAE of {worst[1]['mae']:.2f} on {worst[1]['articles']} articles.")
    return notes or ["None that the held-out articles show."]
