"""Pictures of an ablation's results: the scores of all rows with their intervals, a panel a metric."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exomni import config
from exomni.evaluation.verdicts import CEILINGS, FLOORS
from exomni.report.ablation import configuration, estimate_of, row_title
from exomni.report.words import ARROWS

PANELS_A_LINE = 4
CEILING_COLORS = ("#2a7f3f", "#6bb37c", "#9fcf6a")
FLOOR_COLORS = ("#b04a3a", "#d98a5f", "#b08a3a", "#8a5fa8", "#777777")
CONTROL_COLORS = dict(zip((*CEILINGS, *FLOORS), (*CEILING_COLORS, *FLOOR_COLORS), strict=True))
STYLES = ("--", ":", "-.", (0, (1, 3)))  # of the controls of several configurations


def pyplot() -> Any:
    """`matplotlib.pyplot`, drawing to files; its cache stays among the outputs."""
    os.environ.setdefault("MPLCONFIGDIR", str(config.logs() / "cache" / "matplotlib"))
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def scores(data: Mapping[str, Any], path: Path) -> None:
    """Write a PNG: means with intervals as points with bars, single seeds as faint dots, controls as dashed lines.

    data: as `exomni.report.ablation.document` reads it.
    """
    plt = pyplot()
    panels = [(part, one) for part in data["sections"].values() for one in part["columns"] if not one["unavailable"]]
    wide = min(PANELS_A_LINE, max(1, len(panels)))
    lines = -(-len(panels) // wide)
    figure, axes = plt.subplots(lines, wide, figsize=(3.4 * wide, 2.9 * lines), layout="constrained", dpi=110, squeeze=False)
    axes = axes.ravel()
    for axis, (section, column) in zip(axes, panels):
        _panel(axis, section["rows"], column)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    labels = {row["label"] for section, _ in panels for row in section["rows"] if row["control"]}
    handles = {line.get_label(): line for axis in axes for line in axis.get_lines() if line.get_label() in labels}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    figure.suptitle(data["question"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def _panel(axis: Any, rows: list[Mapping[str, Any]], column: Mapping[str, Any]) -> None:
    variants = [row for row in rows if not row["control"]]
    configurations = list(dict.fromkeys(configuration(row) for row in rows if row["control"]))
    for place, row in enumerate(variants):
        if estimate := estimate_of(row, column):
            values = list(estimate["values"].values())
            axis.plot([place] * len(values), values, "o", color="#999999", markersize=3, alpha=0.7)
            bar = {"yerr": estimate["half_width"], "fmt": "o", "color": "#1f3b73", "markersize": 5, "capsize": 4}
            axis.errorbar(place, estimate["mean"], **bar)
    for row in rows:
        estimate = estimate_of(row, column)
        if row["control"] and estimate:
            style = STYLES[configurations.index(configuration(row)) % len(STYLES)]
            color = CONTROL_COLORS[row["control"]]
            axis.axhline(estimate["mean"], color=color, linestyle=style, linewidth=1, label=row["label"])
    unit = f" ({column['unit']})" if column["unit"] else ""
    axis.set_title(f"{column['name']}{unit} {ARROWS[column['better']]}", fontsize=9)
    axis.set_xticks(range(len(variants)), [row_title(row) for row in variants], rotation=30, ha="right", fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.set_xlim(-0.5, len(variants) - 0.5)
    axis.spines[["top", "right"]].set_visible(False)
