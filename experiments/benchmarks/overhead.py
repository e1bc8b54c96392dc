"""What learning from comparisons costs in time: plain Stable-Baselines3, prefrl on the true and on a learned reward.

The same task, steps, algorithm and settings, each in a process of its own, one after another and in turns; prints
medians over the repeats and ratios of the same turn.

    python experiments/benchmarks/overhead.py --repeats 3
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

RESULTS = Path(__file__).parent.parent / "results" / "overhead.json"


@dataclass(frozen=True)
class Args:
    """Compare wall times."""

    task: str = "cheetah"
    algo: Literal["trpo", "ppo"] = "trpo"
    steps: int = 300_000
    labels: int = 700
    repeats: int = 3
    out: Path = RESULTS
    plain: bool = False
    """Be the plain Stable-Baselines3 run: what the other processes call."""


def plain(args: Args) -> float:
    """Seconds that Stable-Baselines3 learns with its own vectorized and normalized environments."""
    import torch
    from sb3_contrib import TRPO
    from stable_baselines3 import PPO
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    from prefrl.control.algorithms import default_config
    from prefrl.control.tasks import find_task, lifetime

    torch.set_num_threads(1)
    task = find_task(args.task, clip_seconds=1.5)
    c = default_config(args.algo, lifetime(task))
    venv = VecNormalize(DummyVecEnv([task.make] * c.num_envs), gamma=c.gamma)
    settings: dict[str, Any] = {
        "learning_rate": c.learning_rate,
        "n_steps": c.rollout_steps,
        "batch_size": c.batch_size,
        "gamma": c.gamma,
        "gae_lambda": c.gae_lambda,
        "policy_kwargs": {"net_arch": [c.hidden, c.hidden], "log_std_init": c.initial_log_std},
        "seed": 0,
        "device": "cpu",
    }
    if args.algo == "trpo":
        model: BaseAlgorithm = TRPO("MlpPolicy", venv, **settings)
    else:
        model = PPO("MlpPolicy", venv, **settings, n_epochs=c.epochs, ent_coef=c.entropy_bonus)
    started = time.perf_counter()
    model.learn(args.steps)
    return time.perf_counter() - started


def prefrl(args: Args, reward: str) -> dict[str, float]:
    """The summary of a run of the command line."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = ["train", args.task, "--steps", str(args.steps), "--labels", str(args.labels), "--reward", reward]
        command += ["--algo", args.algo]
        subprocess.run([sys.executable, "-m", "prefrl", *command, "--out", str(out), "--quiet"], check=True)
        summary: dict[str, float] = json.loads((out / "summary.json").read_text())
    return summary


def main(args: Args) -> None:
    """Measure, print, keep."""
    from prefrl.provenance import provenance

    turns = []
    for turn in range(args.repeats):
        command = [sys.executable, __file__, "--plain", "--task", args.task, "--steps", str(args.steps)]
        command += ["--algo", args.algo]
        seconds = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        true, learned = prefrl(args, "true"), prefrl(args, "learned")
        # prefrl finishes its last round, so it takes a few steps more: compare seconds per step.
        turns.append(
            {
                "plain": seconds / args.steps,
                "true": true["wall_seconds"] / true["steps"],
                "learned": learned["wall_seconds"] / learned["steps"],
                "fitting": learned["seconds_fitting"] / learned["steps"],
            }
        )
        print(
            f"turn {turn + 1}: " + ", ".join(f"{k} {v * 1e6:.0f} us a step" for k, v in turns[-1].items()), flush=True
        )
    ratios = {
        f"{a} / {b}": statistics.median(turn[a] / turn[b] for turn in turns)
        for a, b in (("learned", "plain"), ("true", "plain"), ("learned", "true"), ("fitting", "learned"))
    }
    for name, ratio in ratios.items():
        print(f"{name:18} {ratio:.2f}  (median of {len(turns)})")
    settings = {"task": args.task, "algo": args.algo, "steps": args.steps, "labels": args.labels}
    result = {"settings": settings, "seconds_per_step": turns, "ratios": ratios, **provenance()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    arguments = tyro.cli(Args)
    if arguments.plain:
        print(plain(arguments))
    else:
        main(arguments)
