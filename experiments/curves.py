"""Pictures of the paper's sweeps: learning curves, and what each setting changes."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from studies import NAMES, WHOLE, Study

MOST_BANDS = 4  # that can be told apart
# Okabe and Ito's colors; the true reward is dark and dashed.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C564B")
DARK, PALE = "#333333", "#9aa1a9"


def draw(
    axis: Axes,
    results: Sequence[Mapping[str, Any]],
    color: str,
    dash: str,
    *,
    label: str,
    column: str = "true_return",
    band: bool = True,
) -> None:
    """A column of metrics against steps: its mean over seeds, and a band from the lowest to the highest."""
    curves = [
        [(step, value) for step, value in zip(curve["steps"], curve[column], strict=True) if value is not None]
        for curve in (result["curve"] for result in results)
    ]
    curves = [curve for curve in curves if curve]
    if not curves:
        return
    last = min(curve[-1][0] for curve in curves)
    points = np.array([step for step, _ in curves[0] if step <= last])
    values = np.array([np.interp(points, *zip(*curve, strict=True)) for curve in curves])
    axis.plot(points / 1e3, values.mean(0), dash, color=color, linewidth=1.6, label=label)
    if band:
        axis.fill_between(points / 1e3, values.min(0), values.max(0), color=color, alpha=0.15, linewidth=0)


def panels(figure: Figure, tasks: Sequence[str]) -> Iterator[tuple[str, Axes]]:
    """An axis for each task; then the legend of all."""
    columns = min(4, len(tasks))
    rows = -(-len(tasks) // columns)
    figure.set_size_inches(3.4 * columns, 2.7 * rows + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, task in zip(axes, tasks, strict=False):
        axis.set_title(task, loc="left", fontweight="bold")
        axis.set_xlabel("thousand steps")
        yield task, axis
    for axis in axes[len(tasks) :]:
        axis.remove()
    named = {label: h for axis in figure.axes for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    columns = -(-len(named) // -(-len(named) // 8))  # at most eight, and as many in each row
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns, frameon=False)


def plot(study: Study, settings: Sequence[str]) -> Figure:
    """A panel a task, with a curve a setting."""
    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        figure = Figure(layout="constrained")
        for task, axis in panels(figure, study.grid.tasks):
            looks = iter([(color, dash) for dash in ("-", "-.") for color in COLORS])
            for setting in settings:
                color, dash = (DARK, "--") if setting == "true" else next(looks)
                label = NAMES.get(setting, setting.replace("-", " "))
                draw(axis, study.of(task, setting), color, dash, label=label, band=len(settings) <= MOST_BANDS)
            if random := [r["summary"]["random_return"] for s in settings for r in study.of(task, s)]:
                axis.axhline(statistics.fmean(random), color=PALE, linewidth=1, linestyle=":", label="random")
            else:
                _empty(axis)
        figure.axes[0].set_ylabel("true return while learning")
    return figure


def _empty(axis: Axes) -> None:
    """Say why there is nothing."""
    axis.set(xticks=[], yticks=[], xlabel="")
    axis.text(0.5, 0.5, "no runs yet", transform=axis.transAxes, ha="center", color="#5a6169")


def predicted(study: Study) -> Figure:
    """True and predicted return of the whole method, on a scale each: where the two part, the reward is fooled."""
    with matplotlib.rc_context({"axes.spines.top": False, "font.size": 9}):
        figure = Figure(layout="constrained")
        for task, axis in panels(figure, study.grid.tasks):
            results = study.of(task, WHOLE)
            if not results:
                _empty(axis)
                continue
            draw(axis, results, DARK, "-", label="true return (left)")
            draw(axis.twinx(), results, COLORS[1], "--", label="predicted return (right)", column="predicted_return")
    return figure


def changes(compared: Mapping[str, Mapping[str, tuple[float, float, float] | None]]) -> Figure:
    """A panel a study: what each setting changes, with its interval; in color where that can be told from 0."""
    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        most = max(map(len, compared.values()))
        figure = Figure(figsize=(8.5, 0.28 * most + 1.0), layout="constrained")
        for axis, (title, study) in zip(figure.subplots(1, len(compared), sharex=True), compared.items(), strict=True):
            axis.set_title(title, loc="left", fontweight="bold")
            axis.axvline(0.0, color=PALE, linewidth=1, linestyle=":")
            for row, found in enumerate(study.values()):
                if found is not None:
                    difference, low, high = found
                    color = PALE if low <= 0.0 <= high else COLORS[1] if high < 0.0 else COLORS[0]
                    axis.plot([low, high], [row, row], color=color, linewidth=2)
                    axis.plot(difference, row, "o", color=color)
            axis.set_yticks(range(len(study)), [setting.replace("-", " ") for setting in study])
            axis.set_ylim(most - 0.5, -0.5)
        figure.supxlabel("change of the interquartile mean of scores against 700 comparisons", fontsize=9)
    return figure
