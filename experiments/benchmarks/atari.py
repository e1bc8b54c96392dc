"""How fast games are learned: prefrl on a learned and on the true reward, plain Stable-Baselines3, and the limits.

The same game, network, algorithm and settings, each in a process of its own, one after another and in turns. Plain
Stable-Baselines3 uses its own Atari wrappers and needs opencv-python-headless. `environment` acts at random and learns
nothing; `network` acts and learns on pictures that stand still. prefrl runs as it would for 4,000,000 steps and is
interrupted after a few rounds; the first is left out, in which the games begin and the reward is fitted before anything
is learned (and for which it is fitted briefly here). Prints medians over the turns of ratios of the same turn.

    python experiments/benchmarks/atari.py --turns 3
"""

import csv
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

RESULTS = Path(__file__).parent.parent / "results" / "atari_speed.json"
RUN = 4_000_000
PARTS = ("environment", "network", "plain", "true", "learned")


@dataclass(frozen=True)
class Args:
    """Compare steps a second."""

    game: str = "pong"
    algo: Literal["ppo", "a2c"] = "ppo"
    network: Literal["small", "nature"] = "small"
    steps: int = 100_000
    """Of each part but prefrl's, which are measured by rounds."""
    rounds: int = 1
    """Of prefrl, after the first; each is of 81,920 steps."""
    labels: int = 3300
    turns: int = 3
    threads: int = 2
    out: Path = RESULTS
    only: Literal["environment", "network", "plain"] | None = None
    """Measure one part here and print its steps a second: what the other processes call."""


def environment(args: Args) -> float:
    """Steps a second of the games alone."""
    from prefrl_envs.atari.vector import AtariVector

    vector = AtariVector(args.game, 16, num_threads=args.threads)
    vector.reset(seed=0)
    actions = np.random.default_rng(0).integers(vector.single_action_space.n, size=(args.steps // 16, 16))
    started = time.perf_counter()
    for act in actions:
        vector.step(act)
    return len(actions) * 16 / (time.perf_counter() - started)


def network(args: Args) -> float:
    """Steps a second of acting and learning where the environment costs nothing."""
    import torch
    from stable_baselines3.common.vec_env import VecEnv

    from prefrl.control.tasks import find_task

    class Still(VecEnv):
        """Shows one picture."""

        def reset(self) -> np.ndarray:
            return self.obs

        def step_async(self, actions: np.ndarray) -> None:
            pass

        def step_wait(self) -> Any:
            return self.obs, np.zeros(self.num_envs), np.zeros(self.num_envs, bool), [{}] * self.num_envs

        def close(self) -> None:
            pass

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [None] * self.num_envs

        set_attr = env_method = env_is_wrapped = None  # type: ignore[assignment]

    Still.__abstractmethods__ = frozenset()
    torch.set_num_threads(args.threads)
    games = find_task(args.game, clip_seconds=1.0).vector(16, normalize=False)
    still = Still(16, games.observation_space, games.action_space)
    still.obs = np.random.default_rng(0).integers(256, size=(16, *games.observation_space.shape), dtype=np.uint8)
    return timed(args, still)


def plain(args: Args) -> float:
    """Steps a second of Stable-Baselines3 with its own wrappers."""
    import ale_py
    import gymnasium
    import torch
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    from prefrl_envs.atari.games import find_game

    torch.set_num_threads(args.threads)
    gymnasium.register_envs(ale_py)
    settings = {"frameskip": 1, "repeat_action_probability": 0.0}
    games = make_atari_env(find_game(args.game).ale_id, n_envs=16, seed=0, env_kwargs=settings)
    return timed(args, VecFrameStack(games, 4))


def timed(args: Args, venv: Any) -> float:
    """Steps a second of Stable-Baselines3's algorithm, with our network and settings and its own buffer."""
    from stable_baselines3 import A2C, PPO

    from prefrl.control.algorithms import picture_config, policy_settings

    c = picture_config(args.algo, args.network)
    settings: dict[str, Any] = {
        "learning_rate": c.learning_rate,
        "n_steps": c.rollout_steps,
        "gamma": c.gamma,
        "gae_lambda": c.gae_lambda,
        "ent_coef": c.entropy_bonus,
        "policy_kwargs": policy_settings(c),
        "seed": 0,
        "device": "cpu",
    }
    if args.algo == "ppo":
        model: Any = PPO(
            "MlpPolicy", venv, **settings, batch_size=c.batch_size, n_epochs=c.epochs, clip_range=c.clip_range
        )
    else:
        model = A2C("MlpPolicy", venv, **settings)
    started = time.perf_counter()
    model.learn(args.steps)
    return float(model.num_timesteps / (time.perf_counter() - started))


def prefrl(args: Args, reward: str) -> dict[str, float]:
    """Steps a second of a run of the command line, with questions, fits, checkpoints and all, after its first round."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = ["train", args.game, "--steps", str(RUN), "--labels", str(args.labels), "--reward", reward]
        command += ["--algo", args.algo, "--network", args.network, "--threads", str(args.threads)]
        command += ["--pretraining", "1"] if reward == "learned" else []
        run = subprocess.Popen([sys.executable, "-m", "prefrl", *command, "--out", str(out), "--quiet"])
        try:
            while len(rows := metrics(out)) <= args.rounds:
                time.sleep(1.0)
                if run.poll() is not None:
                    raise SystemExit(
                        f"prefrl {' '.join(command)} ended after {len(rows)} rounds, code {run.returncode}"
                    )
        finally:
            run.send_signal(signal.SIGINT)
            run.wait()
    first, last = rows[0], rows[args.rounds]
    seconds = last["seconds"] - first["seconds"]
    return {
        reward: (last["steps"] - first["steps"]) / seconds,
        f"{reward}: share of fitting": sum(row["seconds_fitting"] for row in rows[1 : args.rounds + 1]) / seconds,
    }


def metrics(run: Path) -> list[dict[str, float]]:
    """The rounds that a run has finished; none as long as it has written nothing."""
    path = run / "metrics.csv"
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    finished = (line for line in lines if line.endswith("\n"))
    return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(finished)]


def part(args: Args, name: str) -> dict[str, float]:
    """Steps a second of one part, in a process of its own."""
    if name in ("true", "learned"):
        return prefrl(args, name)
    command = [sys.executable, __file__, "--only", name, "--game", args.game, "--steps", str(args.steps)]
    command += ["--algo", args.algo, "--network", args.network, "--threads", str(args.threads)]
    return {name: float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])}


def ratios(turns: list[dict[str, float]]) -> dict[str, float]:
    """Medians over the turns, of what was measured in the same turn."""
    pairs = (("learned", "true"), ("learned", "plain"), ("true", "plain"), ("true", "network"))
    found = {f"{a} / {b}": statistics.median(turn[a] / turn[b] for turn in turns) for a, b in pairs}
    # What two parts that wait for each other would reach: 1 / (1 / environment + 1 / network).
    found["true / (environment and network in turn)"] = statistics.median(
        turn["true"] * (1 / turn["environment"] + 1 / turn["network"]) for turn in turns
    )
    return found


def main(args: Args) -> None:
    """Measure, print, keep after every turn."""
    from prefrl.provenance import provenance

    told = ("game", "algo", "network", "steps", "rounds", "labels", "threads")
    settings = {name: getattr(args, name) for name in told}
    turns: list[dict[str, float]] = []
    for turn in range(args.turns):
        turns.append({key: value for name in PARTS for key, value in part(args, name).items()})
        print(f"turn {turn + 1}: " + ", ".join(f"{k} {v:,.3g}" for k, v in turns[-1].items()), flush=True)
        result = {"settings": settings, "steps_per_second": turns, "ratios": ratios(turns), **provenance()}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, ratio in ratios(turns).items():
        print(f"{name:42} {ratio:.2f}  (median of {len(turns)})")


if __name__ == "__main__":
    arguments = tyro.cli(Args)
    if arguments.only is None:
        main(arguments)
    else:
        parts = {"environment": environment, "network": network, "plain": plain}
        print(parts[arguments.only](arguments))
