"""Pictures of a report: the scores of all rows with their intervals, a panel a metric."""

from __future__ import annotations

from pathlib import Path

from exomni.ablation.formats import ARROWS
from exomni.ablation.results import Results, Row, Section
from exomni.ablation.workbench import Score
from exomni.render.plots import pyplot

PANELS_A_LINE = 4
CONTROL_COLORS = {
    "teacher": "#2a7f3f",
    "teacher (codec audio)": "#6bb37c",
    "still face": "#b04a3a",
    "shuffled audio": "#b08a3a",
}


def scores(results: Results, path: Path) -> Path:
    """Write a PNG: means with intervals as points with bars, single seeds as faint dots, controls as dashed lines."""
    plt = pyplot()
    panels = [(section, column) for section in results.sections for column in section.columns]
    wide = min(PANELS_A_LINE, max(1, len(panels)))
    lines = -(-len(panels) // wide)
    figure, axes = plt.subplots(lines, wide, figsize=(3.4 * wide, 2.9 * lines), layout="constrained", dpi=110, squeeze=False)
    axes = axes.ravel()
    for axis, (section, column) in zip(axes, panels):
        _panel(axis, section, column)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    handles = {line.get_label(): line for axis in axes for line in axis.get_lines() if line.get_label() in CONTROL_COLORS}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle(results.record["question"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    return path


def _panel(axis, section: Section, column: Score) -> None:
    variants = [row for row in section.rows if not row.control]
    for place, row in enumerate(variants):
        _point(axis, place, row, column.name)
    for row in section.rows:
        estimate = row.estimates[column.name]
        if row.control and estimate is not None:
            axis.axhline(estimate.mean, color=CONTROL_COLORS[row.label], linestyle="--", linewidth=1, label=row.label)
    unit = f" ({column.unit})" if column.unit else ""
    axis.set_title(f"{column.name}{unit} {ARROWS[column.better]}", fontsize=9)
    axis.set_xticks(range(len(variants)), [row.label for row in variants], rotation=30, ha="right", fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.set_xlim(-0.5, len(variants) - 0.5)
    axis.spines[["top", "right"]].set_visible(False)


def _point(axis, place: int, row: Row, name: str) -> None:
    estimate = row.estimates[name]
    if estimate is None:
        return
    values = list(row.values[name].values())
    axis.plot([place] * len(values), values, "o", color="#999999", markersize=3, alpha=0.7)
    axis.errorbar(place, estimate.mean, yerr=estimate.half_width, fmt="o", color="#1f3b73", markersize=5, capsize=4)
