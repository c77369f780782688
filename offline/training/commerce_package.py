"""filters/commerce/v{n}: the commerce head with its threshold and a card that reports errors by language."""

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.calibration import Calibration, Intervals, Normalisation
from core.package import Manifest
from offline.splits import Side
from offline.training.commerce import CommerceData, CommerceFit, fit_commerce, measure
from offline.training.corpus import Library, Source, load_library
from offline.training.linear import apply
from offline.training.packages import Draft, write_json, write_package
from offline.training.workshop import Workshop


def train_commerce(
    draft: Draft, sources: tuple[Source, ...], workshop: Workshop, sides: Mapping[str, Side], target: Path
) -> dict[str, Any]:
    """Fit on the training and validation sides, measure on the test side, write the package."""
    library = load_library(sources, [draft.spec], workshop.embed, sides)
    rated = library.rated[draft.spec.name]
    side = np.array([library.sides[name] for name in rated.ids])
    fit = fit_commerce(_rows(library, draft.spec.name, np.nonzero(side != "test")[0]))
    test = _rows(library, draft.spec.name, np.nonzero(side == "test")[0])
    logits = apply(fit.head, test.embeddings)[:, 0].astype(np.float64)
    report = {
        "out_of_fold": fit.figures,
        "test": measure(1 / (1 + np.exp(-logits)), float(fit.gate.threshold or 1), test),
    }
    facts = {
        "articles": len(rated),
        "sources": dict(Counter(library.origin[name] for name in rated.ids)),
        "oracles": sorted(library.oracles),
    }
    _write(draft, fit, workshop, (facts, report), target)
    return report


def _rows(library: Library, name: str, rows: Any) -> CommerceData:
    rated = library.rated[name]
    ids = [rated.ids[row] for row in rows]
    return CommerceData(
        embeddings=library.embeddings[library.rows(ids)],
        scores=rated.scores[rows, 0],
        weights=rated.annotators[rows] / (rated.annotators[rows] + 0.25),
        languages=tuple(library.articles[i].language or "unknown" for i in ids),
    )


def _write(
    draft: Draft, fit: CommerceFit, workshop: Workshop, told: tuple[dict[str, Any], dict[str, Any]], target: Path
) -> None:
    facts, report = told

    def fill(folder: Path) -> None:
        for name in ("config.yaml", "prompt.md"):
            shutil.copyfile(draft.folder / name, folder / name)
        fit.head.save(folder / "head.safetensors")
        write_json(folder / "gate.json", fit.gate)
        write_json(folder / "calibration.json", Calibration())
        write_json(folder / "intervals.json", Intervals())
        write_json(folder / "normalization.json", Normalisation(sample=0))
        (folder / "README.md").write_text(_card(draft, facts, report), encoding="utf-8")

    manifest = Manifest(
        name=draft.spec.name,
        version=draft.spec.version,
        files={},
        encoder=workshop.encoder_ref,
        data=facts,
        metrics=report,
    )
    write_package(target, manifest, fill)


def _card(draft: Draft, facts: dict[str, Any], report: dict[str, Any]) -> str:
    lines = [
        f"# {draft.spec.name} {draft.spec.version}",
        "",
        "The probability that a text sells rather than reports, from one e5 embedding. Articles at or above "
        f"{report['out_of_fold']['threshold']:g} are rejected. Commerce means that the oracle gives at least 6 of 10, "
        "journalism that it gives less than 4.",
        "",
        f"{facts['articles']} articles, labelled by {', '.join(facts['oracles'])}: "
        + ", ".join(f"{count} {name}" for name, count in facts["sources"].items())
        + ".",
        "",
        "| | F1 | commerce found | others rejected | false positives on non-English journalism |",
        "|---|---|---|---|---|",
        *(
            f"| {title} | {found['f1']:.3f} | {_share(found['recall'])} | {_share(found['others_rejected'])} "
            f"| {_share(found['false_positives_non_english'])} |"
            for title, found in (
                ("out of fold", report["out_of_fold"]),
                ("held-out articles", report["test"]),
            )
        ),
        "",
        "Predictions out of fold chose the threshold; the held-out articles chose nothing.",
        "",
        "## By language (out of fold)",
        "",
        "| language | journalism | of it rejected | commerce | of it found |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {row['journalism']} | {row['false_positives']} | {row['commerce']} | {row['found']} |"
            for name, row in report["out_of_fold"]["languages"].items()
        ),
        "",
        "## Known failures",
        "",
        "- Product news and reviews around 6 points are a matter of degree: annotators differ there too.",
        "- Short deal headlines without a text look like product news.",
        "- Languages with few labelled advertisements (see the table) are certified by few articles.",
        "",
    ]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
