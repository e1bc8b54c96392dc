"""Episodes a second of PPO on a language model, and memory: prefrl beside TRL's PPOTrainer.

The same model of 1.15 million parameters, weights, prompts, lengths, batch, minibatch, epochs, reward model and value
model. Each side is a process of its own; after a batch to warm up they take turns, batch by batch. TRL 1.12 is the last
release with a PPO trainer; its virtual environment is made when it is missing.

    python experiments/benchmarks/text_ppo.py run --threads 1    # and 2; and --ends
    python experiments/benchmarks/text_ppo.py table
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "experiments" / "results" / "text-ppo"
VENV = ROOT / "runs" / "benchmarks" / "trl-venv"
TRL = ("torch==2.13.0", "trl==1.12.0")  # the rest by the project's constraints, so that both sides use the same
SIDES = ("prefrl", "trl")
PARTS = ("generating", "judging", "improving")
STEP = 1e-6  # a learning rate that costs what any does, and leaves the answers of both sides as long as they are
WORDS, LAYERS, HIDDEN, HEADS, PAD, END = 800, 4, 128, 4, 1, 2


@dataclass(frozen=True)
class Work:
    """What both sides do."""

    threads: int = 1
    ends: bool = False
    """Most answers end by themselves; otherwise all have the full length."""
    batch: int = 256
    minibatch: int = 64
    epochs: int = 1
    answers: int = 4
    """Answers to each prompt of a batch. TRL gets each prompt that many times."""
    prompt_tokens: int = 24
    answer_tokens: int = 32
    trl_bf16: bool = False
    """Have TRL update in bfloat16, which is its own default, instead of 32 bits."""


# ---- what both sides read --------------------------------------------------------------------------------------------


def make_models(folder: Path, work: Work) -> None:
    """A policy, a reward model and a value model with a head of zeros, of random weights; `prompts.json`."""
    import torch
    from transformers import LlamaForSequenceClassification
    from transformers.utils import logging

    from prefrl.text.models import TinyConfig, save_model, tiny_model

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    context = work.prompt_tokens + work.answer_tokens
    shape = TinyConfig(layers=LAYERS, hidden=HIDDEN, heads=HEADS, context=context)
    for name, seed in (("policy", 0), ("reward", 1)):
        lm = tiny_model([f"w{i}" for i in range(WORDS - 3)], shape, seed=seed)
        with torch.no_grad():
            # One component that all tokens share, and of which the end has more or less: how often answers end.
            embedding: Any = lm.causal.get_input_embeddings().weight
            embedding[:, 0] = 1.0
            embedding[[0, PAD], 0] = -2.0
            embedding[END, 0] = 1.0 + 0.44 if work.ends else -2.0
        save_model(lm, folder / name)
    for name in ("reward", "value"):
        torch.manual_seed(2)
        model = LlamaForSequenceClassification.from_pretrained(folder / "reward", num_labels=1)
        if name == "value":
            torch.nn.init.zeros_(model.score.weight)
        model.save_pretrained(folder / name)
    g = torch.Generator().manual_seed(3)
    prompts = torch.randint(3, WORDS, (work.batch, work.prompt_tokens), generator=g).tolist()
    (folder / "prompts.json").write_text(json.dumps(prompts))


def in_turns(seconds: dict[str, float], tokens: float, scores: list[float]) -> None:
    """Report a batch, and what a fixed set of answers is worth; wait until another batch is wanted."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "tokens": tokens, "scores": scores, "peak_mib": peak}), flush=True)
    if not sys.stdin.readline():
        os._exit(0)  # no trainer can be told to stop in the middle


# ---- the two sides ---------------------------------------------------------------------------------------------------


def side_prefrl(folder: Path, work: Work) -> None:
    """prefrl's learner as `prefrl text train` puts it together, with a reward of one member as TRL has it."""
    import torch
    from transformers import LlamaForSequenceClassification

    from prefrl.commands.training import keep_freed_memory
    from prefrl.ensemble import RewardEnsemble
    from prefrl.segments import Text, collate
    from prefrl.text.heads import TrunkReward
    from prefrl.text.learner import TextLearner
    from prefrl.text.models import load_model
    from prefrl.text.packing import as_segment
    from prefrl.text.policy import Prompt
    from prefrl.text.settings import TextConfig

    torch.set_num_threads(work.threads)
    keep_freed_memory()
    lm = load_model(str(folder / "policy"))
    net = TrunkReward(lm, members=1, generator=torch.Generator().manual_seed(0))
    model = LlamaForSequenceClassification.from_pretrained(folder / "reward")
    with torch.no_grad():
        net.trunks[0].load_state_dict(model.model.state_dict())
        net.heads.copy_(model.score.weight)
    ensemble = RewardEnsemble(net, credit="last_step")
    prompts = json.loads((folder / "prompts.json").read_text())
    learner = TextLearner(
        lm,
        [Prompt(str(i), tuple(ids)) for i, ids in enumerate(prompts)],
        TextConfig(
            answers=work.answers,
            batch_size=work.batch,
            minibatch_size=work.minibatch,
            epochs=work.epochs,
            most_tokens=work.answer_tokens,
            learning_rate=STEP,
            value_learning_rate=STEP,
        ),
        seed=0,
        check=lambda: None,
        critic_from=net.trunks[0],
    )
    fixed = [as_segment(ids[:8], ids[8:], Text("", "")) for ids in prompts[:4]]
    scores = torch.cat([ensemble.reward(collate(fixed)), learner.policy.log_probs(collate(fixed))]).sum(dim=1).tolist()
    while True:
        started = time.perf_counter(), time.process_time()
        metrics = learner.learn(work.batch, ensemble.reward).metrics
        seconds = {part: metrics[f"seconds_{part}"] for part in PARTS}
        seconds |= {"all": time.perf_counter() - started[0], "processor": time.process_time() - started[1]}
        in_turns(seconds, metrics["tokens"], scores)


def side_trl(folder: Path, work: Work) -> None:
    """TRL's trainer at what is fastest here: no checkpointing of gradients, no samples shown, nothing saved."""
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        TrainerCallback,
    )
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer
    from trl.experimental.utils import get_reward

    torch.set_num_threads(work.threads)
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy", padding_side="left")
    prompts = json.loads((folder / "prompts.json").read_text())
    policy, reference = (AutoModelForCausalLM.from_pretrained(folder / "policy", dtype=torch.float32) for _ in range(2))
    reward, value = (
        AutoModelForSequenceClassification.from_pretrained(folder / name, num_labels=1, dtype=torch.float32)
        for name in ("reward", "value")
    )
    fixed = torch.tensor(prompts[:4])
    with torch.no_grad():
        scores = get_reward(reward, fixed, PAD, 8)[1].tolist()
        logits = policy(input_ids=fixed).logits[:, 7:-1].log_softmax(dim=-1)
        scores += logits.gather(2, fixed[:, 8:, None]).sum(dim=(1, 2)).tolist()
    clock: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            clock[name] = time.perf_counter()
            return result

        return wrapped

    # Called once a batch each: answers are there after the first, all that the update needs after the second.
    ppo_trainer.batch_generation = timed("generating", ppo_trainer.batch_generation)
    whiten = timed("judging", ppo_trainer.masked_whiten)

    def whitened(values: Any, mask: Any) -> Any:
        clock["tokens"] = float(mask.sum(dim=1).float().mean())
        return whiten(values, mask)

    ppo_trainer.masked_whiten = whitened

    class Turns(TrainerCallback):  # type: ignore[misc,unused-ignore]
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            now = time.perf_counter(), time.process_time()
            seconds = {
                "generating": clock["generating"] - clock["started"],
                "judging": clock["judging"] - clock["generating"],
                "improving": now[0] - clock["judging"],
                "all": now[0] - clock["started"],
                "processor": now[1] - clock["processor"],
            }
            in_turns(seconds, clock["tokens"], scores)
            clock.update(started=time.perf_counter(), processor=time.process_time())

    rows = [{"input_ids": ids} for ids in prompts for _ in range(work.answers)]
    config = PPOConfig(
        output_dir=str(folder / "trl"),
        use_cpu=True,
        bf16=work.trl_bf16,
        gradient_checkpointing=False,
        per_device_train_batch_size=work.minibatch,
        gradient_accumulation_steps=work.batch // work.minibatch,
        num_mini_batches=work.batch // work.minibatch,
        num_ppo_epochs=work.epochs,
        local_rollout_forward_batch_size=work.batch,
        response_length=work.answer_tokens,
        stop_token="eos" if work.ends else None,
        missing_eos_penalty=1.0,
        temperature=1.0,
        kl_coef=0.05,
        vf_coef=1.0,
        learning_rate=STEP,
        lr_scheduler_type="constant",
        total_episodes=work.batch * 10**6,
        num_sample_generations=0,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
    )
    trainer = PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=reward,
        value_model=value,
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:1]),
        callbacks=[Turns()],
    )
    # As it is, TRL collects the gradients of all minibatches and takes one step; this makes it take one for each.
    trainer.accelerator.gradient_accumulation_steps = 1
    clock.update(started=time.perf_counter(), processor=time.process_time())
    trainer.train()


# ---- the comparison --------------------------------------------------------------------------------------------------


def trl_python() -> Path:
    """The interpreter of TRL's own environment, made if it is not there."""
    python = VENV / "bin" / "python"
    if not (VENV / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", *TRL], check=True)
        (VENV / "ready").touch()
    return python


class Side:
    """A process that makes a batch when it is told to."""

    def __init__(self, name: str, folder: Path, work: Work) -> None:
        python = sys.executable if name == "prefrl" else str(trl_python())
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(work.threads),
            "HF_HUB_OFFLINE": "1",
            "TRL_EXPERIMENTAL_SILENCE": "1",
        }
        command = [python, __file__, f"side-{name}", str(folder), json.dumps(asdict(work))]
        self._errors = (folder / f"{name}.log").open("w+")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )
        self.warm = self._report()

    def batch(self) -> dict[str, Any]:
        """What the next batch took."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._report()

    def _report(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith('{"seconds"'):
                report: dict[str, Any] = json.loads(line)
                return report
        self._errors.seek(0)
        raise SystemExit(f"a side ended early:\n{self._errors.read()[-2000:]}")

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()


def run(work: Work, *, repeats: int = 3, batches: int = 5, out: Path = RESULTS) -> None:
    """Measure in turns, print, keep: `repeats` pairs of processes, `batches` turns each."""
    from prefrl.provenance import provenance

    trl_python()
    turns: list[dict[str, Any]] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            make_models(Path(name), work)
            sides = {side: Side(side, Path(name), work) for side in SIDES}
            scores = [side.warm["scores"] for side in sides.values()]
            if max(abs(a - b) for a, b in zip(*scores, strict=True)) > 1e-3:
                raise SystemExit(f"the two sides do not see the same models: {scores}")
            for _ in range(batches):
                turn = {side: process.batch() for side, process in sides.items()}
                turns.append(turn)
                print(
                    ", ".join(f"{side} {report['seconds']['all']:.2f} s" for side, report in turn.items()), flush=True
                )
            for process in sides.values():
                process.end()
    for clock, (middle, low, high) in ratios(turns).items():
        print(f"{clock}: TRL takes {middle:.2f} times as long ({low:.2f} to {high:.2f}, n = {len(turns)})")
    result = {"settings": {**asdict(work), "repeats": repeats, "batches": batches}, "trl": TRL, "turns": turns}
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{work.threads}-{'ends' if work.ends else 'full'}{'-bf16' if work.trl_bf16 else ''}.json"
    file.write_text(json.dumps({**result, **provenance()}, indent=1) + "\n")
    print(table([json.loads(file.read_text())]))


def ratios(turns: list[dict[str, Any]]) -> dict[str, tuple[float, float, float]]:
    """Seconds of TRL over seconds of prefrl in the same turn, median and range: on the wall, and of the processor.

    With one thread the second hardly hangs on what else the machine does.
    """
    found = {}
    for clock in ("all", "processor"):
        each = [turn["trl"]["seconds"][clock] / turn["prefrl"]["seconds"][clock] for turn in turns]
        found[clock] = statistics.median(each), min(each), max(each)
    return found


def load(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """What was measured."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: medians over turns, the ratio with its range, shares of time, memory."""
    lines = [
        "| threads | answers | | episodes a second | ratio | generating | judging | improving | memory | n |",
        "| ---: | --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        settings, turns = result["settings"], result["turns"]
        middle, low, high = ratios(turns)["all"]
        for side in SIDES:
            reports = [turn[side] for turn in turns]
            whole = [report["seconds"]["all"] for report in reports]
            shares = [statistics.median(r["seconds"][part] / r["seconds"]["all"] for r in reports) for part in PARTS]
            tokens = statistics.mean(report["tokens"] for report in reports)
            name = {"prefrl": "prefrl", "trl": "TRL, bfloat16" if settings["trl_bf16"] else "TRL"}[side]
            first = side == "prefrl"
            cells = [
                str(settings["threads"]) if first else "",
                f"{tokens:.0f} tokens",
                name,
                f"{settings['batch'] / statistics.median(whole):.1f}",
                f"**{middle:.2f}** ({low:.2f} to {high:.2f})" if first else "",
                *(f"{share:.0%}".replace("%", " %") for share in shares),
                f"{max(report['peak_mib'] for report in reports):,.0f} MiB",
                str(len(turns)) if first else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    commits = ", ".join(sorted({result["commit"][:12] for result in results}))
    some = results[0]["settings"]
    lines += [
        "",
        "Medians over turns; the ratio is that of the same turn, with its range. A Llama of 1.15 million parameters, "
        f"prompts of {some['prompt_tokens']} tokens, answers of at most {some['answer_tokens']}, {some['answers']} to "
        f"each prompt; batches of {some['batch']}, minibatches of {some['minibatch']}, {some['epochs']} epoch; a "
        "reward model of one member, a value model, a reference; prefrl reads reward and values and takes all "
        "gradients in bfloat16 where the processor multiplies it, and what the policy and its reference say in 32 "
        "bits; with two threads it teaches policy and values side by side; "
        f"{TRL[1].replace('==', ' ')}, made to take a step for each minibatch. Memory is the process's peak. "
        f"Commits {commits}; made by `python experiments/benchmarks/text_ppo.py run` and `table`.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Be a side, or compare them."""
    if sys.argv[1:2] in (["side-prefrl"], ["side-trl"]):
        side = side_prefrl if sys.argv[1] == "side-prefrl" else side_trl
        return side(Path(sys.argv[2]), Work(**json.loads(sys.argv[3])))
    import tyro

    def write_table() -> None:
        """Write the table of all that was measured."""
        RESULTS.with_suffix(".md").write_text(table(load()))

    plain = tyro.conf.configure(tyro.conf.OmitArgPrefixes)
    tyro.extras.subcommand_cli_from_dict({"run": plain(run), "table": write_table})


if __name__ == "__main__":
    main()
