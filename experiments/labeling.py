"""Measure the labeling window: pictures a second, opening, answers by real keys while a run trains, and kills.

    xvfb-run -a -s "-screen 0 1280x1024x24" python experiments/labeling.py run    # all that is missing; see MINUTES
    python experiments/labeling.py table                                          # results/labeling.md

It needs Xvfb and xdotool. Each measurement is a file in results/labeling with its settings, commit and versions; remove
one to measure it anew. Nothing else should run meanwhile.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweeping import RESULTS, ROOT, RUNS, load

sys.path += [str(ROOT / "tests"), str(ROOT / "experiments" / "benchmarks")]

import numpy as np
from killing import kill_often
from labeling_keys import label_by_keys

from prefrl.commands.guides import guide_of
from prefrl.commands.label import DrawStates
from prefrl.comparisons import Query
from prefrl.control.algorithms import default_config
from prefrl.control.learner import ControlLearner
from prefrl.control.tasks import find_task
from prefrl.provenance import provenance
from prefrl.segments import Frames, Segment
from prefrl.store import PreferenceStore
from prefrl_envs import tiny_instruct
from prefrl_labeling import window
from prefrl_labeling.keymap import default_keymap
from prefrl_labeling.screen import Screen

MINUTES = {"frames": 1, "opening": 1, "keys": 15, "kills": 10, "text": 6}  # that a measurement takes, roughly
SECONDS = 20  # for which pictures are counted
SIDE = 500  # pixels
PAIRS = 1000
TEXT_GOLD = "prefrl_envs.tiny_instruct:gold"
TRAIN = ("hopper", "--labeler", "people", "--labels", "220", "--steps", "150000")
KILLS = 200


def _watch(store: PreferenceStore, *, size: int, until: Callable[[Screen, float], bool]) -> list[float]:
    """Open the window until `until(screen, now)`; the times at which pictures with options were made."""
    times: list[float] = []
    original, sitting = window.render, window._Sitting
    opened: list[Any] = []

    class Sitting(sitting):  # type: ignore[valid-type, misc]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            opened.append(self)

    def render(screen: Screen, room: tuple[int, int], scale: float) -> Any:
        now = time.perf_counter()
        if screen.options is not None:
            times.append(now)
        opened[0].closing = until(screen, now)
        return original(screen, room, scale)

    window.render, window._Sitting = render, Sitting  # type: ignore[misc]
    try:
        draw = DrawStates(size, "software")
        window.Window(guide_of("hopper"), "watcher", default_keymap(), draw).attend(store)
    finally:
        window.render, window._Sitting = original, sitting  # type: ignore[misc]
    return times


def frames() -> dict[str, Any]:
    """Pictures a second with two moving clips of MuJoCo."""
    task = find_task("hopper", clip_seconds=1.5)
    learner = ControlLearner(task, default_config("ppo", task.longest), seed=0, most_clips=2, check=lambda: None)
    segments = learner.rollout(4000)
    with (
        tempfile.TemporaryDirectory() as folder,
        PreferenceStore(Path(folder) / "preferences.db") as store,
    ):
        store.ask([Query(tuple(segments.segments))])
        first: list[float] = []
        used: list[float] = []  # processor seconds of the window's process, not of the one that draws

        def until(screen: Screen, now: float) -> bool:
            if screen.options is not None:
                first.append(now)
                used.append(time.process_time())
            return bool(first) and now - first[0] > SECONDS

        times = _watch(store, size=SIDE, until=until)
    seconds = times[-1] - times[0]
    gaps = np.diff(times)
    return {
        "clip_pixels": SIDE,
        "window": window.SIZE,
        "seconds": round(seconds, 1),
        "pictures_per_second": round((len(times) - 1) / seconds, 1),
        "ms_between_pictures_p99": round(1000 * float(np.quantile(gaps, 0.99)), 1),
        "share_of_a_core": round((used[-1] - used[0]) / seconds, 3),
    }


def opening() -> dict[str, Any]:
    """Seconds from opening a store with many pairs to the picture of the first one."""
    none = np.zeros((0, 1), np.float32)

    def segment(i: int) -> Segment:
        view = Frames(np.full((25, 84, 84, 3), i % 256, np.uint8), 15.0)
        return Segment(np.full((25, 1), i, np.float32), np.zeros(25), none, view=view)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preferences.db"
        with PreferenceStore(path) as store:
            store.ask(Query((segment(2 * i), segment(2 * i + 1))) for i in range(PAIRS))
        took = []
        for _ in range(5):
            started = time.perf_counter()
            with PreferenceStore(path) as store:
                times = _watch(store, size=320, until=lambda screen, now: screen.options is not None)
            took.append(times[0] - started)
    return {"pairs": PAIRS, "turns": len(took), "seconds_median": round(sorted(took)[2], 3)}


def keys() -> dict[str, Any]:
    """A run that waits for people, labeled in the window by an oracle that presses real keys."""
    found, summary = _labeled(RUNS / "labeling" / "keys", ["train", *TRAIN])
    learned = {name: summary[name] for name in ("true_return", "true_return_std", "random_return", "episodes")}
    return {"train": " ".join(TRAIN), **found, **learned}


def _labeled(folder: Path, command: list[str]) -> tuple[dict[str, float], dict[str, Any]]:
    """Train in `folder` by a command of prefrl, answer at the keys; what was measured, and the run's summary."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefrl", *command, "--out", str(folder)]
    with folder.with_suffix(".log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as training:
        while not (folder / "preferences.db").exists():
            assert training.poll() is None, f"training ended: see {log.name}"
            time.sleep(0.2)
        try:
            found = label_by_keys(folder)
        except BaseException:
            training.terminate()  # it would wait for answers, and we for it
            raise
        assert training.wait() == 0, f"training failed: see {log.name}"
    return found, json.loads((folder / "summary.json").read_text())


def text() -> dict[str, Any]:
    """Runs of a language model that wait for people: pairs of answers, and rankings of four, by real keys."""
    folder = RUNS / "labeling" / "text"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    asked = tiny_instruct.prompts(600, rng, "train")
    shown = [{"prompt": prompt.text, "answer": tiny_instruct.demonstration(prompt, rng)} for prompt in asked]
    rows = {"documents": [{"text": text_} for text_ in tiny_instruct.documents(1500, rng)], "demonstrations": shown}
    for name, content in {**rows, "prompts": shown[:300]}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))

    def prefrl(*words: object) -> None:
        subprocess.run([sys.executable, "-m", "prefrl", "text", *map(str, words)], check=True)

    shape = ["--layers", 2, "--hidden", 48, "--block", 250, "--epochs", 1, "--batch-size", 8]
    prefrl("pretrain", "--documents", folder / "documents.jsonl", "--out", folder / "base", *shape)
    data = ["--data", folder / "demonstrations.jsonl", "--epochs", 6]
    prefrl("sft", "--model", folder / "base", *data, "--out", folder / "sft")
    found: dict[str, Any] = {}
    for name, labels, options in (("pairs", 40, 2), ("rankings", 20, 4)):
        given = ["--labeler", "people", "--labels", labels, "--options", options, "--steps", 2048, "--best-of", 0]
        world = ["--model", folder / "sft", "--prompts", folder / "prompts.jsonl", "--gold", TEXT_GOLD]
        measured, summary = _labeled(folder / name, ["text", "train", *map(str, [*world, *given])])
        with PreferenceStore(folder / name / "preferences.db") as store:
            log = store.answers()
        kept = {"labels": summary["labels"], "ranked": sum(answer.ranks is not None for answer in log)}
        found[name] = {"train": " ".join(map(str, given)), **measured, **kept}
    return found


def kills() -> dict[str, Any]:
    """What is left after so many SIGKILLs."""
    none = np.zeros((0, 1), np.float32)
    segments = [
        Segment(
            np.full((2, 1), i, np.float32),
            np.zeros(2),
            none,
            view=Frames(np.full((8, 20, 30, 3), i % 256, np.uint8), 20.0),
        )
        for i in range(20_000)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preferences.db"
        with PreferenceStore(path) as store:
            store.ask(Query((segments[i], segments[i + 1])) for i in range(0, len(segments), 2))
        return kill_often(path, kills=KILLS)._asdict()


MEASUREMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "frames": frames,
    "opening": opening,
    "keys": keys,
    "kills": kills,
    "text": text,
}


SCREENS = {  # made by window.py
    "label-keys": "All keys, by ?.",
    "label-waiting": "While the trainer learns and nothing is to compare.",
    "label-history": "Earlier answers, by H; Enter shows one once more so that it can be corrected.",
    "label-practice": "Driving the agent, by P, to get a feeling for what is hard.",
    "label-text": "Two answers of a language model.",
}


def run(names: list[str]) -> None:
    """Measure what is missing of `names`, or all of it."""
    folder = RESULTS / "labeling"
    folder.mkdir(exist_ok=True)
    for name in names or MEASUREMENTS:
        if not (folder / f"{name}.json").exists():
            print(f"{name}: about {MINUTES[name]} min", flush=True)
            made = provenance()
            made["command"] = f"python experiments/labeling.py run {name}"
            found = {**MEASUREMENTS[name](), **made}
            (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The measurements as markdown."""
    f, o, k, d = (found[name] for name in ("frames", "opening", "keys", "kills"))
    rows = [
        (
            f"Pictures a second with two {f['clip_pixels']} x {f['clip_pixels']} clips of MuJoCo, over "
            f"{f['seconds']:g} s",
            f"{f['pictures_per_second']} ({f['share_of_a_core']:.0%} of a core)",
        ),
        (f"Opening a store with {o['pairs']:,} pairs, to its first picture", f"{o['seconds_median']:.2f} s"),
        (f"Answers by keys while `prefrl train {k['train']}` ran", f"{k['answers']} in {k['seconds']} s"),
        ("Answers a minute, each after a look of 1 s", str(k["answers_per_minute"])),
        ("Share of the time without a pair on the screen", f"{1 - k['share_of_time_with_a_pair']:.0%}"),
        (
            "From a key press, stored and synced, to the next pair",
            f"median {k['ms_to_next_pair_median']:.0f} ms, 95 % within {k['ms_to_next_pair_p95']:.0f} ms",
        ),
        (
            f"True return of that run, {k['episodes']} episodes (a random policy: {k['random_return']:,.0f})",
            f"{k['true_return']:,.0f} ± {k['true_return_std']:,.0f}",
        ),
        (
            f"{d['kills']} SIGKILLs while {d['answers']:,} answers streamed in",
            f"{d['lost']} times an acknowledged answer was lost, {d['damaged']} times the file was not whole, "
            f"{d['stuck']} leases were stuck",
        ),
    ]
    if t := found.get("text"):
        what = "Answers of a language model, compared and ranked by keys while `prefrl text train` ran"
        each = [f"{t[n]['answers']} {n} in {t[n]['seconds']} s" for n in ("pairs", "rankings")]
        rows.append((what, ", ".join(each)))
    commits = ", ".join(sorted({str(entry["commit"])[:12] for entry in found.values()}))
    return "\n".join(
        [
            "# The labeling window, measured",
            "",
            "An oracle at the keyboard: real key presses (xdotool) in a real window (Xvfb), a second after each pair "
            "appears.",
            "One run of each measurement.",
            "",
            "| what | found |",
            "| --- | --- |",
            *(f"| {what} | {value} |" for what, value in rows),
            "",
            f"Commits {commits}; made by `python experiments/labeling.py run` and `table` from "
            "`experiments/results/labeling/`.",
            "",
            "## Its other screens",
            "",
            "Made by `python experiments/window.py`.",
            "",
            *(line for name, what in SCREENS.items() for line in (f"![{what}]({name}.png)", "", f"*{what}*", "")),
        ]
    )


if __name__ == "__main__":  # the process that draws imports this file
    match sys.argv[1:]:
        case ["run", *names]:
            run(names)
        case ["table"]:
            (RESULTS / "labeling.md").write_text(table(load("labeling")))
        case _:
            sys.exit(__doc__)
