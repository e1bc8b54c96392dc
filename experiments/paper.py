"""Christiano et al. 2017, figures 2 and 5, new behaviors, and what goes beyond: tables and plots of what has been run.

prefrl sweep experiments/figure2.toml   # eight tasks x true reward, 350, 700, 1,400 comparisons
prefrl sweep experiments/figure5.toml   # ablations
prefrl sweep experiments/beyond.toml    # acquisition, label errors, labels up front
prefrl sweep experiments/v5.toml        # Gymnasium's own tasks, beside the only public numbers on them
prefrl sweep experiments/behaviors.toml # backflip and one leg, of which no reward was known
python experiments/paper.py             # experiments/results/figure2.md, figure2.png, ..., trust.md, predicted.png
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from curves import changes, plot, predicted
from studies import NAMES, WHOLE, Results, Study, studies
from sweeping import RESULTS, commits, grid, load, shown

from prefrl.commands.statistics import interquartile_mean, stratified_bootstrap
from prefrl.measuring import correlation

# Section 3.3 and figure 5 of the paper, as far as its text says.
CLAIMS = {
    "random-queries": "little",
    "no-ensemble": "little",
    "no-online-queries": "worse",
    "no-segments": "worse",
    "target": "worse",
}

# Mean returns of PPO on the true reward and on 10,000 comparisons made beforehand from checkpoints of experts, five
# seeds each: multi-type-feedback (ICLR 2025), notebook Generate_rliable_reward_plots, cell 12.
PUBLISHED = {
    "HalfCheetah-v5": (5186, 3860),
    "Walker2d-v5": (4353, 1505),
    "Swimmer-v5": (330, 135),
    "Ant-v5": (4030, 1432),
    "Hopper-v5": (3294, 2007),
    "Humanoid-v5": (5818, 5027),
}


Measure = Callable[[Mapping[str, Any]], float]


def of_last_round(column: str) -> Measure:
    """The newest value that a run has in a column of its metrics; NaN if it has none."""
    return lambda result: next((v for v in reversed(result["curve"].get(column, [])) if v is not None), math.nan)


def of_summary(name: str) -> Measure:
    """What a run's summary says; NaN where that could not be measured."""

    def measure(result: Mapping[str, Any]) -> float:
        value = result["summary"].get(name)
        return math.nan if value is None else float(value)

    return measure


MEASURES: Mapping[str, Measure] = {
    "held-out answers": of_last_round("reward_accuracy"),
    "correlation by step": of_last_round("reward_correlation"),
    "the policy's pairs": of_summary("policy_accuracy"),
    "calibration error": of_summary("policy_calibration_error"),
    "correlation by clip": of_summary("clip_correlation"),
    "EPIC distance": of_summary("epic_distance"),
}


def pooled(strata: Sequence[Sequence[float]]) -> float:
    """The interquartile mean over tasks and seeds."""
    return interquartile_mean([score for stratum in strata for score in stratum])


def mean(strata: Sequence[Sequence[float]]) -> float:
    """The mean over tasks of the mean over seeds."""
    return statistics.fmean(map(statistics.fmean, strata))


def capped(strata: Sequence[Sequence[float]]) -> float:
    """The same of scores that are at most 1: what one task has above another's lack."""
    return mean([[min(score, 1.0) for score in stratum] for stratum in strata])


def figure2(study: Study) -> str:
    """Markdown: one row a task, then means over all tasks of a setting."""
    settings = [s for s in study.grid.settings if s != "true"]
    settings.sort(key=float)
    lines = [
        f"| task | steps | random | true reward | {' | '.join(f'{int(s):,}' for s in settings)} | n |",
        "| --- |" + " ---: |" * (len(settings) + 4),
    ]
    absent = []
    for task in study.grid.tasks:
        runs = [result["summary"] for setting in study.grid.settings for result in study.of(task, setting)]
        if not runs:
            absent.append(task)
            continue
        true = [summary["true_return"] for summary in study.true(task)]
        digits = 0 if true and abs(statistics.fmean(true)) >= 100 else 2
        random = shown([statistics.fmean(s["random_return"] for s in runs)], digits)
        steps = f"{max(s['steps'] for s in runs):,}"
        cells = [shown(study.scores(task, setting), 2) for setting in settings]
        counts = [len(true), *(len(study.of(task, setting)) for setting in settings)]
        lines.append(f"| {task} | {steps} | {random} | {shown(true, digits)} | {' | '.join(cells)} | {_n(counts)} |")
    for name, statistic in (("mean", mean), ("mean, each at most 1", capped), ("interquartile mean", pooled)):
        cells = [_estimate(study.strata(setting), statistic) for setting in settings]
        tasks = [len(study.strata(setting)) for setting in settings]
        lines.append(f"| **{name}** | | | | {' | '.join(cells)} | {_n(tasks)} tasks |")
    return _with_caption(
        lines,
        study,
        "Right of the true reward, which shows returns, are normalized scores by number of comparisons: (return - "
        "random) / (mean return on the true reward - random)."
        + (f" Not run yet: {', '.join(absent)}." if absent else ""),
        "figure2",
    )


def early_ends(study: Study) -> str:
    """Markdown: Gymnasium's own tasks, by the share of the true reward's return, as the public numbers are given."""
    lines = [
        "| task | true reward | 1,400 comparisons | share | public: true reward | 10,000 comparisons | share | n |",
        "| --- |" + " ---: |" * 7,
    ]
    strata, public = [], []
    for task in study.grid.tasks:
        true = [summary["true_return"] for summary in study.true(task)]
        learned = [result["summary"]["true_return"] for result in study.of(task, "1400")]
        if not true or not learned:
            continue
        shares = [value / statistics.fmean(true) for value in learned]
        theirs = PUBLISHED[task]
        strata.append(shares)
        public.append(theirs[1] / theirs[0])
        cells = [shown(true, 0), shown(learned, 0), shown(shares, 2), f"{theirs[0]:,}", f"{theirs[1]:,}"]
        lines.append(f"| {task} | {' | '.join(cells)} | {public[-1]:.2f} | {_n([len(true), len(learned)])} |")
    share = _estimate(strata, mean)
    if public:
        lines.append(f"| **mean** | | | {share} | | | {statistics.fmean(public):.2f} | {len(public)} tasks |")
    return _with_caption(
        lines,
        study,
        "Share: return / mean return on the true reward. The public numbers are of PPO on comparisons made beforehand "
        "from checkpoints of experts (multi-type-feedback, ICLR 2025), five seeds.",
        "v5",
    )


def effects(study: Study, name: str) -> str:
    """Markdown: one row a setting, compared with the whole method on the same tasks."""
    tasks = study.grid.tasks
    lines = [
        f"| setting | {' | '.join(tasks)} | interquartile mean | change | {'paper | ' * (name == 'figure5')}accuracy | "
        "correlation | n |",
        "| --- |" + " ---: |" * (len(tasks) + 5 + (name == "figure5")),
    ]
    for setting in [WHOLE, *(s for s in study.grid.settings if s not in NAMES)]:
        cells = [shown(study.scores(task, setting), 2) for task in tasks]
        results = [result for task in tasks for result in study.of(task, setting)]
        paper = [CLAIMS.get(setting, "-")] if name == "figure5" else []
        cells += [
            _estimate(study.strata(setting, tasks), pooled),
            "" if setting == WHOLE else _verdict(change(study, setting)),
            *paper,
            *(_last(results, column) for column in ("reward_accuracy", "reward_correlation")),
            _n([len(study.of(task, setting)) for task in tasks]),
        ]
        label = NAMES.get(setting, setting.replace("-", " "))
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return _with_caption(
        lines,
        study,
        "Normalized scores at 700 comparisons: (return - random) / (mean return on the true reward - random). Change: "
        "of the interquartile mean against the whole method, over the tasks that both have; accuracy (of held-out "
        "answers) and correlation (of predicted and true reward, by step): of the reward in the last round.",
        name,
    )


def behaviors(results: Results) -> str:
    """Markdown: the script's score of each behavior, in the mean and by seed."""
    lines = ["| behavior | comparisons | steps | random | score | by seed | n |", "| --- |" + " ---: |" * 6]
    sweep = grid("behaviors")
    for task in sweep.tasks:
        runs = [results[row.name]["summary"] for row in sweep.rows if row.task == task and row.name in results]
        if not runs:
            continue
        scores = [run["true_return"] for run in runs]
        random = statistics.fmean(run["random_return"] for run in runs)
        lines.append(
            f"| {task} | {runs[0]['labels']} | {runs[0]['steps']:,} | {random:,.0f} | {shown(scores, 0)} | "
            f"{', '.join(f'{score:,.0f}' for score in scores)} | {len(runs)} |"
        )
    lines += [
        "",
        "Means of 20 fresh episodes of the final policy, acting deterministically; ± is half the 95 % t-interval over "
        f"seeds {', '.join(map(str, sweep.seeds))}. Commits {commits(results)}; made by `prefrl sweep "
        "experiments/behaviors.toml` and `python experiments/paper.py`.",
    ]
    return "\n".join(lines) + "\n"


def trust(study: Study) -> str:
    """Markdown: how far the reward of each task can be trusted, and whether that tells how well the policy will do."""
    settings = sorted((s for s in study.grid.settings if s != "true"), key=float)
    rows = {task: study.of(task, WHOLE) for task in study.grid.tasks}
    rows |= {
        f"**all, {int(setting):,}**": [run for task in study.grid.tasks for run in study.of(task, setting)]
        for setting in settings
    }
    lines = [f"| task | {' | '.join(MEASURES)} | n |", "| --- |" + " ---: |" * (len(MEASURES) + 1)]
    for name, runs in rows.items():
        cells = [shown(_known(map(measure, runs)), 2) for measure in MEASURES.values()]
        lines.append(f"| {name} | {' | '.join(cells)} | {len(runs)} |")
    told = [
        _known(_tells_return(study, t, settings, measure) for t in study.grid.tasks) for measure in MEASURES.values()
    ]
    cells = [shown(values, 2) for values in told]
    lines.append(f"| **rank correlation with the return** | {' | '.join(cells)} | {_n([*map(len, told)])} tasks |")
    return _with_caption(
        lines,
        study,
        f"Rewards at the end, by task from {WHOLE} comparisons. In the last round: the share of answers predicted by "
        "the members that were not fitted to them, and the correlation of predicted and true reward by step. On fresh "
        "experience of the final policy: the share of all pairs of its clips that the reward orders as the true "
        "return does, how far the chance it gives an answer is from that answer's frequency, the correlation of clips' "
        "returns, and the EPIC distance (0: the same reward). Last row: Spearman's correlation of each with the final "
        "return over the runs of a task, of all numbers of comparisons, averaged over tasks, and ± over tasks; in the "
        "rows of all tasks ± is over their runs.",
        "figure2",
    )


def _tells_return(study: Study, task: str, settings: Sequence[str], measure: Measure) -> float:
    """Spearman's correlation of a measure with the return over the runs of a task; NaN of fewer than three."""
    runs = [run for setting in settings for run in study.of(task, setting) if not math.isnan(measure(run))]
    if len(runs) < 3:
        return math.nan
    values = np.array([[measure(run), run["summary"]["true_return"]] for run in runs])
    ranks = (values[:, None] > values).sum(axis=1) + (values[:, None] == values).sum(axis=1) / 2  # ties share theirs
    return correlation(*ranks.T)


def _known(values: Iterable[float]) -> list[float]:
    """All but NaN."""
    return [value for value in values if not math.isnan(value)]


def change(study: Study, setting: str) -> tuple[float, float, float] | None:
    """The difference of interquartile means to the whole method, with its interval, on the tasks that have both."""
    tasks = [t for t in study.grid.tasks if study.scores(t, setting) and study.scores(t, WHOLE)]
    if not tasks:
        return None
    strata = study.strata(setting, tasks) + study.strata(WHOLE, tasks)

    def difference(both: Sequence[Sequence[float]]) -> float:
        return pooled(both[: len(tasks)]) - pooled(both[len(tasks) :])

    return difference(strata), *stratified_bootstrap(strata, difference, np.random.default_rng(0))


def _verdict(found: tuple[float, float, float] | None) -> str:
    """A change, and whether it can be told from 0."""
    if found is None:
        return "-"
    difference, low, high = found
    verdict = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return f"{difference:+.2f} [{low:+.2f}, {high:+.2f}] {verdict}"


def _estimate(strata: Sequence[Sequence[float]], statistic: Callable[[Sequence[Sequence[float]]], float]) -> str:
    if not strata or any(len(stratum) < 2 for stratum in strata):  # of one run there is nothing to draw anew
        return "-"
    low, high = stratified_bootstrap(strata, statistic, np.random.default_rng(0))
    return f"{statistic(strata):.2f} [{low:.2f}, {high:.2f}]"


def _last(results: Sequence[Mapping[str, Any]], column: str) -> str:
    """The mean over runs of the newest value of a column."""
    values = _known(map(of_last_round(column), results))
    return f"{statistics.fmean(values):.2f}" if values else "-"


def _n(counts: Sequence[int]) -> str:
    """How many, the smallest and the largest where they differ."""
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)}-{max(counts)}"


def _with_caption(lines: list[str], study: Study, what: str, name: str) -> str:
    seeds = ", ".join(map(str, study.grid.seeds))
    lines += [
        "",
        f"{what} Returns are means of 20 fresh episodes of the final policy, acting deterministically; ± is half the "
        "95 % t-interval over seeds, [] the 95 % interval of a stratified bootstrap over seeds within tasks (Agarwal "
        "et al. 2021) with the normalization held fixed; n: runs, seeds "
        f"{seeds}. Commits {commits(study.results)}; made by `prefrl sweep experiments/{name}.toml` and `python "
        "experiments/paper.py`.",
    ]
    return "\n".join(lines) + "\n"


def tables(found: Mapping[str, Study]) -> dict[str, str]:
    """Markdown of every study that has results."""
    made = {}
    if "figure2" in found:
        made["figure2"] = figure2(found["figure2"])
        made["trust"] = trust(found["figure2"])
    if "v5" in found:
        made["v5"] = early_ends(found["v5"])
    if learned := load("behaviors"):
        made["behaviors"] = behaviors(learned)
    return made | {n: effects(found[n], n) for n in ("figure5", "beyond") if n in found}


if __name__ == "__main__":
    found = studies()
    for name, text in tables(found).items():
        (RESULTS / f"{name}.md").write_text(text)
        print(f"{text}\n")
    for name, study in found.items():
        if name in ("figure2", "v5"):
            order = sorted(study.grid.settings, key=lambda s: (s != "true", float(s) if s.isdigit() else 0))
        else:
            order = ["true", WHOLE, *(s for s in study.grid.settings if s not in NAMES)]
        plot(study, order).savefig(RESULTS / f"{name}.png", dpi=130)
    if "figure2" in found:
        predicted(found["figure2"]).savefig(RESULTS / "predicted.png", dpi=130)
    if {"figure5", "beyond"} <= found.keys():
        compared = {
            title: {s: change(found[name], s) for s in found[name].grid.settings if s not in NAMES}
            for name, title in (("figure5", "the paper's ablations"), ("beyond", "beyond them"))
        }
        changes(compared).savefig(RESULTS / "changes.png", dpi=130)
