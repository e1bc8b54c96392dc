"""A report as one HTML page that needs nothing but itself."""

import base64
import statistics
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from prefrl.commands.plots import PANELS, measured, panel_figure
from prefrl.commands.results import Group, Result
from prefrl.commands.statistics import normalized_score, spread

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #22272c; background: #f4f6f8;
  margin: 0; padding: 1.2rem max(1rem, calc((100vw - 1180px) / 2)); }
h1 { font-size: 1.5rem; margin: .2rem 0 .2rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
p { margin: .3rem 0 .9rem; color: #4a5159; max-width: 75ch; }
.card { background: #fff; border: 1px solid #e0e4e8; border-radius: 8px; padding: .7rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: .8rem; }
.panels .card { display: flex; align-items: flex-start; } img { width: 100%; height: auto; display: block; }
.table { overflow-x: auto; padding: 0; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .45rem .7rem; text-align: left; border-bottom: 1px solid #e9ecef; vertical-align: top; }
tr:last-child td { border-bottom: 0; } th { background: #fafbfc; font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: .82rem/1.4 ui-monospace, Consolas, monospace; overflow-wrap: anywhere; }
td code { display: inline-block; min-width: 14rem; }
summary { cursor: pointer; padding: .5rem .2rem; } .open { color: #a04000; white-space: nowrap; }
"""


def page(tasks: Sequence[tuple[str, Sequence[Group]]]) -> str:
    """The whole page."""
    runs = [result for _, groups in tasks for group in groups for result in group.results]
    unfinished = sum(result.summary is None for result in runs)
    title = tasks[0][0] if len(tasks) == 1 else f"{len(tasks)} tasks"
    facts = f"{len(runs)} run{'s' if len(runs) > 1 else ''}" + (f", {unfinished} unfinished" if unfinished else "")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>prefrl report: {escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{facts}. Curves are means over seeds at equal environment steps; bands are 95 % "
        "t-intervals from three seeds on, and reach from the smallest to the largest of two. An open circle marks "
        "where an unfinished run stands.</p>",
        _outcomes(tasks),
        _rewards(tasks),
    ]
    for task, groups in tasks:
        parts.append(f"<h2>{escape(task)}</h2>")
        parts.append(_panels(groups))
    parts += ["<h2>Where it comes from</h2>", _provenance(runs), *(_settings(task, groups) for task, groups in tasks)]
    return "\n".join([*parts, "</body></html>", ""])


def _panels(groups: Sequence[Group]) -> str:
    pictures = []
    for panel in PANELS:
        if measured(groups, panel):
            data = base64.b64encode(panel_figure(groups, panel)).decode()
            alt = escape(f"{panel.title} against {'steps' if panel.against == 'steps' else 'divergence'}")
            pictures.append(f'<div class="card"><img alt="{alt}" src="data:image/svg+xml;base64,{data}"></div>')
    return f'<div class="panels">{"".join(pictures)}</div>' if pictures else "<p>Nothing was measured yet.</p>"


def _outcomes(tasks: Sequence[tuple[str, Sequence[Group]]]) -> str:
    """The table of what came of finished runs."""
    rows = [_outcome(group, groups) for _, groups in tasks for group in groups]
    names = (
        "Task",
        "Reward",
        "n",
        "True return",
        "Interval",
        "Score",
        "Random",
        "Answers",
        "Steps/s",
        "Time",
        "Fitting",
    )
    table = _table(names, rows, numbers=range(2, len(names)))
    return (
        f"<h2>Outcome</h2>{table}<p>True return: mean over the n finished runs of their evaluation episodes, "
        "the policy acting without noise, in games and text as it learned to. Score: 0 % is a random policy, 100 % one "
        "trained as long on the true reward. "
        "Fitting: share of the time that went into the reward model.</p>"
    )


def _outcome(group: Group, groups: Sequence[Group]) -> list[str]:
    missing = len(group.results) - len(group.finished)
    name = escape(group.name) + (f' <span class="open">+ {missing} unfinished</span>' if missing else "")
    returns = values(group.finished, "true_return")
    if not returns:
        return [escape(group.task), name, "0", *["-"] * 8]
    low, high = spread(returns)
    score, random = score_of(group, groups), values(group.finished, "random_return")
    seconds, fitting = values(group.finished, "wall_seconds"), values(group.finished, "seconds_fitting")
    return [
        escape(group.task),
        name,
        str(len(returns)),
        _number(statistics.fmean(returns)),
        "-" if len(returns) == 1 else f"{_number(low)} to {_number(high)}",
        "-" if score is None else f"{score:.0%}",
        _mean(random),
        _mean(values(group.finished, "labels")),
        _mean(values(group.finished, "steps_per_second")),
        _duration(statistics.fmean(seconds)) if seconds else "-",
        f"{sum(fitting) / sum(seconds):.0%}" if fitting and sum(seconds) > 0 and not group.is_baseline else "-",
    ]


# Measured in each round, and what the last one says; measured of the final policy.
_OF_ROUNDS = {"Held-out answers predicted": "reward_accuracy", "Calibration error": "reward_calibration_error"}
_OF_SUMMARY = {
    "Own pairs predicted": "policy_accuracy",
    "Calibration error there": "policy_calibration_error",
    "Correlation by clip": "clip_correlation",
    "EPIC distance": "epic_distance",
}


def _rewards(tasks: Sequence[tuple[str, Sequence[Group]]]) -> str:
    """The table of how far the learned rewards can be trusted; nothing where none was measured."""
    learned = [group for _, groups in tasks for group in groups if not group.is_baseline and group.finished]
    rows = []
    for group in learned:
        last = [[y[-1] for r in group.finished if (y := r.curve(column)[1])] for column in _OF_ROUNDS.values()]
        final = [values(group.finished, key) for key in _OF_SUMMARY.values()]
        if any(final):
            cells = [f"{statistics.fmean(found):.2f}" if found else "-" for found in (*last, *final)]
            rows.append([escape(group.task), escape(group.name), str(len(group.finished)), *cells])
    if not rows:
        return ""
    names = ("Task", "Reward", "n", *_OF_ROUNDS, *_OF_SUMMARY)
    return (
        f"<h2>Is the reward any good?</h2>{_table(names, rows, numbers=range(2, len(names)))}<p>Means over finished "
        "runs. Held-out answers are those outside of a member's bootstrap sample, in the last round. The others are "
        "of fresh clips of the final policy, by the true return, which never trained anything: the share of all pairs "
        "that the reward puts in order, the expected calibration error of its confidence in them, the correlation of "
        "predicted and true returns, and the EPIC distance (Gleave et al. 2021; 0 is the same reward but for scale and "
        "shaping, .71 an unrelated one, 1 the opposite) on the transitions of the final policy.</p>"
    )


def score_of(group: Group, groups: Sequence[Group]) -> float | None:
    """The group's normalized score; None without a finished baseline of the same task, algorithm and steps."""
    same = [
        g
        for g in groups
        if g.is_baseline and all(_setting(g, key) == _setting(group, key) for key in ("steps", "algo"))
    ]
    best = [value for g in same for value in values(g.finished, "true_return")]
    mine = values(group.finished, "true_return")
    random = [value for g in [*same, group] for value in values(g.finished, "random_return")]
    if not (best and mine and random):
        return None
    score = normalized_score(statistics.fmean(mine), random=statistics.fmean(random), best=statistics.fmean(best))
    return score if score == score else None


def _setting(group: Group, key: str) -> Any:
    return group.results[0].config.get(key)


def values(results: Iterable[Result], key: str) -> list[float]:
    """What the summaries of runs say, where they do."""
    said = [result.summary.get(key) for result in results if result.summary is not None]
    return [float(value) for value in said if isinstance(value, int | float)]


def _provenance(runs: Sequence[Result]) -> str:
    rows = []
    for run in runs:
        steps = (run.metrics.get("steps") or [0])[-1]
        state = "finished" if run.summary is not None else f'<span class="open">{steps:,.0f} steps so far</span>'
        versions = run.config.get("versions") or {}
        known = " ".join(
            f"{key} {versions[key]}" for key in ("prefrl", "torch", "gymnasium", "python") if key in versions
        )
        commit = str(run.config.get("commit") or "-")
        short = commit[:10] + ("-dirty" if commit.endswith("-dirty") else "")
        cells = (str(run.folder), str(run.config["seed"]), short, known or "-", str(run.config.get("command", "-")))
        folder, seed, short, known, command = map(escape, cells)
        rows.append([f"<code>{folder}</code>", seed, state, f"<code>{command}</code>", escape(short), known])
    return _table(("Folder", "Seed", "State", "Command", "Commit", "Versions"), rows, numbers=(1,))


def _settings(task: str, groups: Sequence[Group]) -> str:
    """All settings of a task's runs: one row each, one column a group."""
    columns = [{k: str(v) for k, v in group.results[0].settings.items()} for group in groups]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    rows = [[f"<code>{escape(key)}</code>", *(escape(column.get(key, "-")) for column in columns)] for key in keys]
    table = _table(("Setting", *(group.name for group in groups)), rows, numbers=())
    return f"<details><summary>All settings of {escape(task)}</summary>{table}</details>"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int]) -> str:
    right = set(numbers)

    def line(cells: Sequence[str], tag: str) -> str:
        marked = (f"<{tag}{' class=n' if i in right else ''}>{cell}</{tag}>" for i, cell in enumerate(cells))
        return f"<tr>{''.join(marked)}</tr>"

    head = line([escape(name) for name in names], "th")
    return f'<div class="card table"><table>{head}{"".join(line(row, "td") for row in rows)}</table></div>'


def _mean(numbers: Sequence[float]) -> str:
    return _number(statistics.fmean(numbers)) if numbers else "-"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:,.1f}"
