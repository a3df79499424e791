"""Pictures of a report: the scores of all rows with their intervals, a panel a metric."""

from __future__ import annotations

from pathlib import Path

from exomni.ablation.results import Results
from exomni.ablation.sections import CONTROL_ROWS, Column, Row, Section
from exomni.ablation.tables import ARROWS
from exomni.render.plots import pyplot

PANELS_A_LINE = 4
CEILING_COLORS = ("#2a7f3f", "#6bb37c", "#9fcf6a")
FLOOR_COLORS = ("#b04a3a", "#d98a5f", "#b08a3a", "#8a5fa8", "#777777")
CONTROL_COLORS = dict(zip(CONTROL_ROWS, (*CEILING_COLORS, *FLOOR_COLORS), strict=True))
STYLES = ("--", ":", "-.", (0, (1, 3)))  # of the controls of several configurations


def scores(results: Results, path: Path) -> Path:
    """Write a PNG: means with intervals as points with bars, single seeds as faint dots, controls as dashed lines."""
    plt = pyplot()
    panels = [(section, column) for section in results.sections for column in section.columns if not column.unavailable]
    wide = min(PANELS_A_LINE, max(1, len(panels)))
    lines = -(-len(panels) // wide)
    figure, axes = plt.subplots(lines, wide, figsize=(3.4 * wide, 2.9 * lines), layout="constrained", dpi=110, squeeze=False)
    axes = axes.ravel()
    for axis, (section, column) in zip(axes, panels):
        _panel(axis, section, column)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    labels = {row.label for section, _ in panels for row in section.rows if row.control}
    handles = {line.get_label(): line for axis in axes for line in axis.get_lines() if line.get_label() in labels}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    figure.suptitle(results.record["question"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    return path


def _panel(axis, section: Section, column: Column) -> None:
    variants = [row for row in section.rows if not row.control]
    for place, row in enumerate(variants):
        _point(axis, place, row, column.name)
    for row in section.rows:
        estimate = row.estimates[column.name]
        if row.control and estimate is not None:
            style = {"color": CONTROL_COLORS[row.control], "linestyle": STYLES[_configuration(section, row) % len(STYLES)]}
            axis.axhline(estimate.mean, **style, linewidth=1, label=row.label)
    unit = f" ({column.score.unit})" if column.score.unit else ""
    axis.set_title(f"{column.name}{unit} {ARROWS[column.score.better]}", fontsize=9)
    axis.set_xticks(range(len(variants)), [row.title for row in variants], rotation=30, ha="right", fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.set_xlim(-0.5, len(variants) - 0.5)
    axis.spines[["top", "right"]].set_visible(False)


def _configuration(section: Section, row: Row) -> int:
    """Which set of controls a row belongs to: the rows of a set differ in their control's name only."""
    sets = list(dict.fromkeys(other.label.removeprefix(other.control) for other in section.rows if other.control))
    return sets.index(row.label.removeprefix(row.control))


def _point(axis, place: int, row: Row, name: str) -> None:
    estimate = row.estimates[name]
    if estimate is None:
        return
    values = list(row.values[name].values())
    axis.plot([place] * len(values), values, "o", color="#999999", markersize=3, alpha=0.7)
    axis.errorbar(place, estimate.mean, yerr=estimate.half_width, fmt="o", color="#1f3b73", markersize=5, capsize=4)
