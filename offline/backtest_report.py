"""The backtest's table and plot: quality against labels bought."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from offline.backtest import Point, mean_by_share

_METRICS = {"mae": "MAE of the weighted score", "average_precision": "average precision of relevant articles"}


def table_rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Means over the seeds, by policy and share."""
    return [
        {
            "policy": policy,
            "share": share,
            "labels": mean.labels,
            "mae": round(mean.mae, 4),
            "spearman": round(mean.spearman, 4),
            "average_precision": round(mean.average_precision, 4),
        }
        for policy in dict.fromkeys(point.policy for point in points)
        for share, mean in mean_by_share(points, policy).items()
    ]


def write_table(points: Sequence[Point], path: Path) -> None:
    """Markdown, one row per share and one block of columns per policy."""
    policies = list(dict.fromkeys(point.policy for point in points))
    means = {policy: mean_by_share(points, policy) for policy in policies}
    lines = [
        "| labels | " + " | ".join(f"{policy}: MAE / AP" for policy in policies) + " |",
        "|---" * (len(policies) + 1) + "|",
    ]
    for share, first in means[policies[0]].items():
        cells = [f"{means[p][share].mae:.3f} / {means[p][share].average_precision:.3f}" for p in policies]
        lines.append(f"| {first.labels} ({share:.0%}) | " + " | ".join(cells) + " |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def plot(points: Sequence[Point], name: str, path: Path) -> None:
    """Two panels; bands span the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for panel, (metric, title) in zip(panels, _METRICS.items(), strict=True):
        for policy in dict.fromkeys(point.policy for point in points):
            own = [point for point in points if point.policy == policy]
            labels = sorted({point.labels for point in own})
            runs = {count: [getattr(p, metric) for p in own if p.labels == count] for count in labels}
            line = panel.plot(
                labels, [sum(runs[c]) / len(runs[c]) for c in labels], label=policy, marker="o", markersize=3
            )
            panel.fill_between(labels, [min(runs[c]) for c in labels], [max(runs[c]) for c in labels],
                               alpha=0.15, color=line[0].get_color())  # fmt: skip
        panel.set(xlabel="labels bought", ylabel=title, xscale="log")
        panel.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    figure.suptitle(f"{name}: quality against labels bought")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
