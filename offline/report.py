"""The evaluation as one HTML file with its plots inside: opens without network."""

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment

_TITLES = {
    "median": "median of the training labels",
    "tfidf_ridge": "TF-IDF + ridge",
    "encoder_ridge": "e5 embedding + ridge",
}
_COLUMNS = {
    "mae": "MAE",
    "spearman": "Spearman",
    "average_precision": "average precision",
    "mae_relevant": "MAE on relevant",
    "spread": "spread / oracle's",
    "bias": "bias",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ report.filter }}: evaluation</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #d7dce3; }
th:first-child, td:first-child { text-align: left; }
tr.own td { font-weight: 600; }
img { max-width: 100%; height: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
@media (prefers-color-scheme: dark) {
  body { background: #14181f; color: #e4e8ee; } th, td { border-color: #38414d; } img { background: #fff; }
}
</style>
</head>
<body>
<h1>{{ report.filter }}</h1>
<p>{{ report.articles }} articles that training has not seen.</p>
<h2>Weighted score</h2>
<table>
<tr><th scope="col"></th>{% for title in columns.values() %}<th scope="col">{{ title }}</th>{% endfor %}</tr>
{% for title, found in rows %}
<tr{% if loop.first %} class="own"{% endif %}><td>{{ title }}</td>
{% for key in columns %}<td>{{ found[key] | number }}</td>{% endfor %}</tr>
{% endfor %}
</table>
<div class="plots">
{% for title, image in plots %}
<figure><img alt="{{ title }}" src="data:image/png;base64,{{ image }}"></figure>
{% endfor %}
</div>
<h2>Dimensions</h2>
<table>
<tr><th scope="col">dimension</th><th scope="col">MAE</th><th scope="col">Spearman</th><th scope="col">spread</th></tr>
{% for name, found in report.dimensions.items() %}
<tr><td>{{ name }}</td><td>{{ found.mae | number }}</td><td>{{ found.spearman | number }}</td>
<td>{{ found.spread | number }}</td></tr>
{% endfor %}
</table>
<h2>Tiers</h2>
<table>
<tr><th scope="col">tier</th><th scope="col">from</th><th scope="col">articles</th><th scope="col">recall</th>
<th scope="col">precision</th></tr>
{% for name, found in report.tiers.items() if "at_least" in found %}
<tr><td>{{ name }}</td><td>{{ found.at_least }}</td><td>{{ found.articles }}</td><td>{{ found.recall | number }}</td>
<td>{{ found.precision | number }}</td></tr>
{% endfor %}
</table>
<h2>Gate and intervals</h2>
<p>The gate closes {{ "%.0f" | format(100 * report.gate.closed_share) }}% of the articles and misses
{{ report.gate.misses }} of {{ report.gate.positives }} relevant ones.
{% if report.intervals.all is defined %}The 90% intervals hold the oracle's score for
{{ "%.1f" | format(100 * report.intervals.all) }}% of the articles (mean width
{{ "%.2f" | format(report.intervals.all_width) }}).{% endif %}</p>
{% for heading, groups in (("Languages", report.languages), ("Sources", report.sources)) %}
<h2>{{ heading }}</h2>
<table>
<tr><th scope="col"></th><th scope="col">articles</th><th scope="col">MAE</th><th scope="col">bias</th></tr>
{% for name, found in groups.items() %}
<tr><td>{{ name }}</td><td>{{ found.articles }}</td><td>{{ found.mae | number }}</td>
<td>{{ found.bias | number }}</td></tr>
{% endfor %}
</table>
{% endfor %}
</body>
</html>
"""


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Args: report: of offline.evaluation.evaluate."""
    environment = Environment(autoescape=True)
    environment.filters["number"] = _number
    rows = [("this filter", report["weighted"]), ("behind its gate", report["cascade"])]
    rows += [(_TITLES.get(name, name), found) for name, found in report["floors"].items()]
    if report["noise"]:
        rows.append(("one annotator against another", report["noise"]))
    plots = [
        ("Calibration: mean oracle score by predicted score", _plot(_draw_calibration, report)),
        ("Error beside the floors", _plot(_draw_errors, report)),
        ("Average precision of relevant articles beside the floors", _plot(_draw_precision, report)),
        ("Error by language", _plot(_draw_languages, report)),
    ]
    page = environment.from_string(_PAGE).render(report=report, rows=rows, columns=_COLUMNS, plots=plots)
    path.write_text(page, encoding="utf-8")


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _plot(draw: Callable[[Any, Mapping[str, Any]], None], report: Mapping[str, Any]) -> str:
    """A plot as base64 PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    draw(figure.subplots(), report)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return base64.b64encode(buffer.getvalue()).decode()


def _draw_calibration(axes: Any, report: Mapping[str, Any]) -> None:
    bins = report["calibration"]
    axes.plot([0, 10], [0, 10], color="#9aa4b2", linewidth=1)
    sizes = [10 + 3 * row["articles"] ** 0.5 * 4 for row in bins]
    axes.scatter([row["predicted"] for row in bins], [row["oracle"] for row in bins], s=sizes, color="#2563a8")
    axes.set(xlabel="predicted", ylabel="oracle", title="Calibration of the weighted score", xlim=(0, 10), ylim=(0, 10))


def _draw_errors(axes: Any, report: Mapping[str, Any]) -> None:
    _bars(axes, report, "mae", "MAE of the weighted score (lower is better)")


def _draw_precision(axes: Any, report: Mapping[str, Any]) -> None:
    _bars(axes, report, "average_precision", "Average precision of relevant articles")


def _bars(axes: Any, report: Mapping[str, Any], key: str, title: str) -> None:
    found = {"this filter": report["weighted"], **report["floors"], "annotators": report["noise"]}
    values = {name: row[key] for name, row in found.items() if key in row}
    colors = ["#2563a8" if name == "this filter" else "#9aa4b2" for name in values]
    axes.barh([_TITLES.get(name, name) for name in values], list(values.values()), color=colors)
    axes.invert_yaxis()
    axes.set(title=title)


def _draw_languages(axes: Any, report: Mapping[str, Any]) -> None:
    rows = report["languages"]
    axes.bar(list(rows), [row["mae"] for row in rows.values()], color="#2563a8")
    axes.tick_params(axis="x", rotation=45)
    axes.set(title="MAE by language")
