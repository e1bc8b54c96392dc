"""Language modeling and imitation: what is learned, in which order, and that it can be cut off."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from text_worlds import tiny

from prefrl.segments import Text
from prefrl.text.data import as_example
from prefrl.text.packing import as_segment
from prefrl.text.supervised import (
    Example,
    Supervised,
    SupervisedConfig,
    blocks,
    example_loss,
    mean_loss,
)


def test_blocks_learn_every_token_once() -> None:
    stream = list(range(3, 16))
    found = blocks([stream[:5], stream[5:]], length=4)
    assert [example.ids for example in found] == [(3, 4, 5, 6, 7), (7, 8, 9, 10, 11), (11, 12, 13, 14, 15)]
    learned = [token for example in found for token in example.ids[example.first :]]
    assert learned == stream[1:]
    assert blocks([[3, 4]], length=4) == []


def test_a_demonstration_teaches_its_answer_alone() -> None:
    assert as_example(as_segment([5, 6, 7], [8, 2], Text("p", "a"))) == Example((5, 6, 7, 8, 2), 3)
    lm = tiny(spread=3.0)
    loss, tokens = example_loss(lm, [Example((5, 6, 7, 8, 2), 3), Example((5, 6), 1)])
    logits = lm.model(input_ids=torch.tensor([[5, 6, 7, 8, 2]])).logits[0].log_softmax(-1)
    wanted = -(logits[2, 8] + logits[3, 2] + logits[0, 6])
    assert tokens == 3
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-4)


EXAMPLES = [Example((2, 5 + i % 3, 8 + i % 3, 11 + i % 3, 2), 2) for i in range(48)]
CONFIG = SupervisedConfig(epochs=4, batch_size=8, learning_rate=1e-2)


def test_a_rule_is_learned() -> None:
    lm = tiny()
    learner = Supervised(lm, EXAMPLES, CONFIG)
    before = mean_loss(lm, EXAMPLES, batch_size=7)
    for epoch in range(4):
        metrics = learner.epoch(np.random.default_rng(epoch), lambda: None)
    assert metrics["updates"] == 24 == learner.total
    assert mean_loss(lm, EXAMPLES, batch_size=7) < 0.5 * before
    assert math.isnan(mean_loss(lm, [], batch_size=7))


def test_training_that_was_cut_off_comes_out_the_same(tmp_path: Path) -> None:
    whole, first, second = (Supervised(tiny(), EXAMPLES, CONFIG) for _ in range(3))
    for epoch in range(4):
        whole.epoch(np.random.default_rng(epoch), lambda: None)
    for epoch in range(2):
        first.epoch(np.random.default_rng(epoch), lambda: None)
    first.save(tmp_path)
    second.load(tmp_path)
    for epoch in (2, 3):
        second.epoch(np.random.default_rng(epoch), lambda: None)
    for name, weight in whole.weights.items():
        assert torch.equal(weight, second.weights[name])


def test_every_example_is_read_once_a_pass_and_like_lengths_lie_together() -> None:
    rng = np.random.default_rng(0)
    examples = [Example(tuple(range(3, 5 + int(n))), 1) for n in rng.integers(0, 15, 100)]
    parts = Supervised(tiny(), examples, CONFIG)._minibatches(rng)
    assert sorted(i for part in parts for i in part.tolist()) == list(range(100))
    spans = [max(len(examples[i].ids) for i in p) - min(len(examples[i].ids) for i in p) for p in parts]
    assert np.mean(spans) < 4
