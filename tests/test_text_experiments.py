"""What the experiments on text compute, apart from what they train."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_worlds import WORDS, tiny

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    return importlib.import_module


def test_labels_to_reach_an_accuracy(experiment: Any) -> None:
    reach = experiment("text_labels").labels_to_reach
    rows = [{"labels": n, "accuracy": a} for n, a in ((100, 0.6), (200, 0.7), (400, 0.8))]
    assert reach(rows, 0.75) == pytest.approx(300)
    assert reach(rows, 0.8) == 400
    assert reach(rows, 0.5) == 100
    assert math.isnan(reach(rows, 0.9))


def test_the_table_of_labels(experiment: Any) -> None:
    labels = experiment("text_labels")
    results = {
        f"{rule}-{seed}": {
            "rule": rule,
            "seed": seed,
            "scale": {"labels": [100, 200], "held_out": 5, "prompts": 9, "candidates": 4}
            | {"members": 3, "reading": "mean", "likelihood": 0.0},
            "rows": [{"labels": 100, "accuracy": 0.5}, {"labels": 200, "accuracy": 0.7 + 0.1 * (rule != "uniform")}],
            "provenance": {"commit": "abc"},
        }
        for rule in labels.RULES
        for seed in (0, 1)
    }
    table = labels.table(results)
    assert "| 200 | 70.0% ± 0.0% | 80.0% ± 0.0% | 80.0% ± 0.0% |" in table
    # From .5 to .8 in 100 labels: .7 is reached after two thirds of them.
    assert "| 200 (2 of 2 seeds) | 167 (2 of 2 seeds) | 167 (2 of 2 seeds) |" in table


def test_comparisons_for_a_fixed_reward_model(experiment: Any) -> None:
    compared = experiment("overoptimization").compared
    prompt = "hello . please reply to me ."
    answers = [{"prompt": prompt, "answer": text} for text in ("hi !", "hi !", "hello .", " ", "hi .", "dog dog dog")]
    found = compared(answers, 0)  # equal ones and an empty one are left out
    assert [{row["chosen"], row["rejected"]} for row in found] == [{"hi .", "dog dog dog"}]
    assert found == compared(answers, 0)


def test_curves_in_standard_deviations_and_their_moving_mean(experiment: Any) -> None:
    over = experiment("overoptimization")
    assert over.standardized([1.0, 3.0, 0.0], 2.0).tolist() == [0, 1, -0.5]
    assert over.smooth(np.array([1.0, 2.0, 3.0])).tolist() == pytest.approx([1.5, 2, 2.5])
    assert over.smooth(np.full(20, 4.0)).tolist() == pytest.approx([4.0] * 20)


def test_the_best_demonstrations_win_a_contest_by_gold(experiment: Any) -> None:
    lm = tiny(words=[*WORDS, ":"], spread=4.0)
    shots = [(f"w{i}", f"w{i + 1}") for i in range(12)]
    seen: list[str] = []

    def gold(prompt: str, answer: str) -> float:
        seen.append(prompt)
        return float(answer.split().count("w3"))

    def choose(**more: Any) -> Any:
        rng = np.random.default_rng(0)
        return experiment("few_shot").best_shots(
            lm, shots, ["w5", "w6 w7"], gold, template="{prompt} : {answer} ", rng=rng, **({"most_tokens": 12} | more)
        )

    best, scores = choose(sets=4, shots=2)
    assert len(scores) == 4
    assert len(best) == 2
    assert set(best) <= set(shots)
    assert seen == ["w5", "w6 w7"] * 4
    assert (best, scores) == choose(sets=4, shots=2)
    with pytest.raises(ValueError, match="no 12 demonstrations leave room"):
        choose(shots=12, sets=1, most_tokens=40)
