"""Learning curves of groups of runs, with Matplotlib and without a screen."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from prefrl.commands.results import Group, Result
from prefrl.commands.statistics import spread

# Okabe and Ito's colors, which color-blind people tell apart, without the yellow that is too light for lines.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_STYLES = ("-", "--", "-.", (0, (1, 1)))
_BASELINE = "#555555"
# Runs on the true reward are gray and never solid, however many settings they differ in.
_BASELINE_LOOKS = [(c, s) for c in (_BASELINE, "#a0a0a0") for s in ("--", "-.")]
_MOST_POINTS = 300
_LOOK: dict[Any, Any] = {  # Matplotlib types every name
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a9199",
    "axes.labelcolor": "#3a4149",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlecolor": "#22272c",
    "xtick.color": "#5a6169",
    "ytick.color": "#5a6169",
    "axes.grid": True,
    "grid.color": "#e6e9ec",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "prefrl",
}


@dataclass(frozen=True)
class Panel:
    """One picture of a task: what is drawn, and what it is called."""

    title: str
    columns: tuple[tuple[str, str], ...]  # columns of metrics.csv, and what each is called where there are several
    limits: tuple[float | None, float | None] = (None, None)
    percent: bool = False
    against: str = "steps"  # the column of the horizontal axis
    apart: bool = False  # the two columns have a scale each, to the left and to the right


PANELS = (
    Panel("True return per episode", (("true_return", ""),)),
    # Where the two part, the policy has found a fault of the reward. Each round's reward has its own zero and unit.
    Panel(
        "True and predicted return",
        (("true_return", "true, left"), ("predicted_return", "predicted, right")),
        apart=True,
    ),
    Panel(
        "Correlation of predicted and true reward",
        (("reward_correlation", "of single rewards"), ("reward_clip_correlation", "of clips")),
        (None, 1.02),
    ),
    Panel(
        "Loss of the reward model (nats)",
        (("reward_validation_loss", "held out"), ("reward_loss", "fitted")),
        (0, None),
    ),
    Panel(
        "Pairs predicted",
        (("reward_accuracy", "answers held out"), ("newest_accuracy", "the newest policy's, by the true reward")),
        (None, 1.02),
        percent=True,
    ),
    Panel("Calibration error of held-out answers", (("reward_calibration_error", ""),), (0, None)),
    Panel("Comparisons", (("labels", "answered"), ("asked", "asked")), (0, None)),
    # Gao et al. 2022: where the gold standard falls while the prediction rises, the reward is over-optimized.
    Panel(
        "Over-optimization",
        (("true_return", "gold"), ("predicted_return", "predicted")),
        against="sqrt_kl",
    ),
    Panel("Divergence (nats an answer)", (("kl", ""),)),
)


def measured(groups: Sequence[Group], panel: Panel) -> bool:
    """Whether any of the runs has something for the panel; a baseline has nothing to say about comparisons."""
    runs = [r for g in _concerned(groups, panel) for r in g.results]
    if panel.against != "steps":
        return any([*paths(r, column, panel.against)] for r in runs for column, _ in panel.columns)
    return any(r.curve(column)[0] for r in runs for column, _ in panel.columns)


def _concerned(groups: Sequence[Group], panel: Panel) -> list[Group]:
    return [g for g in groups if panel is PANELS[0] or not g.is_baseline]


def task_figure(task: str, groups: Sequence[Group]) -> bytes:
    """A PNG of all panels of one task."""
    panels = [panel for panel in PANELS if panel is PANELS[0] or measured(groups, panel)]
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    note = 0.2 * len(groups) + 0.2

    def draw(figure: Figure) -> None:
        figure.set_layout_engine("constrained", h_pad=0.1)  # inches: a title is nearer to its own panel than to others
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, panel in zip(axes, panels, strict=False):
            draw_panel(ax, groups, panel)
        for ax in axes[len(panels) :]:
            ax.remove()
        figure.suptitle(task, x=0.01, ha="left", fontsize=14, fontweight="bold")
        _legend_below(figure, axes[0])

    return picture(draw, (4.4 * columns, 3.2 * rows + note + 0.4), "png")


def overview_figure(tasks: Sequence[tuple[str, Sequence[Group]]]) -> bytes:
    """A PNG of the true return of several tasks."""
    columns = min(3, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    most = max(len(groups) for _, groups in tasks)

    def draw(figure: Figure) -> None:
        parts = figure.subfigures(rows, columns, squeeze=False).ravel()
        for part, (task, groups) in zip(parts, tasks, strict=False):
            ax = part.subplots()
            draw_panel(ax, groups, PANELS[0])
            ax.set_title(f"{task}: true return per episode")
            _legend_below(part, ax)

    return picture(draw, (4.6 * columns, rows * (3.2 + 0.2 * most)), "png")


def panel_figure(groups: Sequence[Group], panel: Panel) -> bytes:
    """An SVG of one panel, of a size that a telephone can show."""

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        draw_panel(ax, groups, panel)
        if panel is PANELS[0]:
            _legend_below(figure, ax)

    height = 3.3 + (0.2 * len(groups) + 0.1 if panel is PANELS[0] else 0.0)
    return picture(draw, (5.2, height), "svg")


def _legend_below(figure: FigureBase, ax: Axes) -> None:
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left")  # the layout makes room for it


def picture(draw: Callable[[Figure], None], size: tuple[float, float], kind: str) -> bytes:
    """A PNG or an SVG of what `draw` draws, in the look of all our pictures."""
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format=kind, dpi=130, facecolor="white", metadata={"Date": None} if kind == "svg" else {}
        )
    return buffer.getvalue()


def draw_panel(ax: Axes, groups: Sequence[Group], panel: Panel) -> None:
    """Draw what the runs measured against environment steps, or answers of a language model."""
    shown = _concerned(groups, panel)
    colors, baselines = cycle((c, s) for s in _STYLES for c in _COLORS), cycle(_BASELINE_LOOKS)
    looks = [next(baselines if g.is_baseline else colors) for g in groups]
    if panel.apart:
        _draw_apart(ax, [(g, *look) for g, look in zip(groups, looks, strict=True) if g in shown], panel)
        return
    if panel.against != "steps":
        _draw_against(ax, [(g, *look) for g, look in zip(groups, looks, strict=True) if g in shown], panel)
        return
    for group, (color, style) in zip(groups, looks, strict=True):
        if group in shown:
            for i, (column, _) in enumerate(panel.columns):
                _draw_group(ax, group, column, color, style if i == 0 else (0, (1.5, 1.5)), faint=i > 0)
    if panel is PANELS[0]:
        _draw_random(ax, groups)
    runs = [result for group in shown for result in group.results]
    kept = [(i, name) for i, (column, name) in enumerate(panel.columns) if any(r.curve(column)[0] for r in runs)]
    if len(panel.columns) > 1 and kept:
        styles: tuple[Any, ...] = ("-", (0, (1.5, 1.5)))
        keys = [Line2D([], [], color="#3a4149", linestyle=styles[i > 0], linewidth=1.6, label=name) for i, name in kept]
        ax.legend(handles=keys, loc="best")
    ax.set_title(panel.title)
    ax.set_ylim(*panel.limits)
    _steps_below(ax, groups)
    if panel.percent:
        low, _ = ax.get_ylim()
        ax.set_yticks([tick for tick in ax.get_yticks() if low <= tick <= 1.0])
        ax.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))


def _steps_below(ax: Axes, groups: Sequence[Group]) -> None:
    text = groups[0].results[0].config.get("domain") == "text"
    ax.set_xlabel("answers" if text else "environment steps")
    ax.margins(x=0.01)
    ax.xaxis.set_major_formatter(_thousands)
    ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(6))


def _draw_apart(ax: Axes, groups: Sequence[tuple[Group, str, Any]], panel: Panel) -> None:
    """Every run's path through two columns, on a scale each."""
    scales = (ax, ax.twinx())
    for (column, _), scale in zip(panel.columns, scales, strict=True):
        first = scale is ax
        for group, color, _ in groups:
            for result in group.results:
                x, y = result.curve(column)
                scale.plot(x, y, color=color, linestyle="-" if first else (0, (1.5, 1.5)), linewidth=1.4, marker=".")
    scales[1].spines["right"].set_visible(True)
    scales[1].grid(False)
    styles: tuple[Any, ...] = ("-", (0, (1.5, 1.5)))
    # Each scale knows nothing of the other's lines, so what is said may lie over one: it has a ground of its own.
    scales[1].legend(
        handles=[
            Line2D([], [], color="#3a4149", linestyle=s, label=n)
            for (_, n), s in zip(panel.columns, styles, strict=True)
        ],
        loc="best",
        frameon=True,
        edgecolor="white",
    )
    ax.set_title(panel.title)
    _steps_below(ax, [group for group, *_ in groups])


def _draw_against(ax: Axes, groups: Sequence[tuple[Group, str, Any]], panel: Panel) -> None:
    """Every run's path, and best-of-n where it was measured, against the square root of the divergence."""
    styles: tuple[Any, ...] = ("-", (0, (3, 2)))
    marks: dict[str, str] = {}
    for (column, _), style in zip(panel.columns, styles, strict=True):
        for group, color, _ in groups:
            for result in group.results:
                for kind, mark, (x, y) in paths(result, column, panel.against):
                    marks[kind] = mark
                    ax.plot(x, y, color=color, linestyle=style, linewidth=1.4, marker=mark, markersize=5)
    keys = [
        Line2D([], [], color=_BASELINE, linestyle=s, label=n) for (_, n), s in zip(panel.columns, styles, strict=True)
    ]
    keys += [Line2D([], [], color=_BASELINE, linestyle="", marker=mark, label=kind) for kind, mark in marks.items()]
    ax.legend(handles=keys, loc="best")
    ax.set_title(panel.title)
    ax.set_xlabel("square root of the divergence in nats")
    ax.set_ylabel("standard deviations of an answer", fontsize=9)


def paths(result: Result, column: str, against: str) -> Iterator[tuple[str, str, tuple[list[float], list[float]]]]:
    """What to draw of a run: the policy's path and best-of-n's, each with its mark.

    Both begin at 0 and are counted in standard deviations of what single answers were worth there, so that gold and
    prediction, which have no common unit, can be held side by side. Nothing where these were not measured.
    """
    for kind, mark, (x, y), (_, stds) in (
        ("policy", ".", result.curve(column, against), result.curve(f"{column}_std", against)),
        ("best of n", "x", result.best_of_curve(column), result.best_of_curve(f"{column}_std")),
    ):
        if y and stds and stds[0] > 0:
            yield kind, mark, (x, [(value - y[0]) / stds[0] for value in y])


def _draw_group(ax: Axes, group: Group, column: str, color: str, style: Any, *, faint: bool) -> None:
    curves = [(result, *result.curve(column)) for result in group.results]
    curves = [(result, x, y) for result, x, y in curves if x]
    if not curves:
        return
    whole = [curve for curve in curves if curve[0].summary is not None]
    unfinished = [curve for curve in curves if curve[0].summary is None] if whole else []
    grid, mean, low, high = averaged([(x, y) for _, x, y in whole or curves])
    width, alpha = (1.2, 0.75) if faint else (1.8, 1.0)
    label = None if faint else f"{group.name} ({_count(group)})"
    ax.plot(grid, mean, color=color, linestyle=style, linewidth=width, alpha=alpha, label=label)
    if not faint:
        ax.fill_between(grid, low, high, color=color, alpha=0.16, linewidth=0)
        for result, x, y in unfinished or (curves if not whole else []):
            if len(curves) > 1:  # the mean ends where the first of them does
                ax.plot(x, y, color=color, linewidth=0.9, alpha=0.7)
            _mark_end(ax, result, x, y, color)


def _mark_end(ax: Axes, result: Result, x: Sequence[float], y: Sequence[float], color: str) -> None:
    """An open circle where a run stopped short."""
    if result.summary is None:
        ax.plot(x[-1], y[-1], marker="o", color=color, markerfacecolor="white", markersize=5)


def _count(group: Group) -> str:
    n, missing = len(group.finished), len(group.results) - len(group.finished)
    finished = [f"n = {n}{_BANDS[min(n, 3)]}"] if n else []
    return ", ".join([*finished, *([f"{missing} unfinished"] if missing else [])])


_BANDS = {1: "", 2: ", band from lowest to highest", 3: ", band 95 % t-interval"}  # what `spread` gives


def _draw_random(ax: Axes, groups: Sequence[Group]) -> None:
    """A line where a random policy would be."""
    returns = [float(r.summary["random_return"]) for g in groups for r in g.finished
               if r.summary and r.summary.get("random_return") is not None]  # fmt: skip
    if returns:
        ax.axhline(float(np.mean(returns)), color="#9aa1a9", linewidth=1.0, linestyle=":", label="random policy")


def averaged(curves: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[np.ndarray, ...]:
    """Steps, mean, low and high of several curves where all of them have values, interpolated to common steps.

    Low and high are those of `spread`. If the curves share no steps, the mean is that of nothing and all are empty.
    """
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    grid = np.unique([step for x, _ in curves for step in x if first <= step <= last])
    if len(grid) > _MOST_POINTS:
        grid = np.linspace(first, last, _MOST_POINTS)
    values = np.array([np.interp(grid, x, y) for x, y in curves])  # [runs, steps]
    bands = np.array([spread(column.tolist()) for column in values.T]).reshape(-1, 2)
    return grid, values.mean(axis=0), bands[:, 0], bands[:, 1]


def _thousands(value: float, _: object) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if abs(value) >= 1e3 else f"{value:g}"
