"""The text learner on TinyInstruct: what it says there is what the environment makes of the same tokens."""

import numpy as np
import pytest
import torch

from prefrl.segments import Text
from prefrl.text.models import END, PAD, UNKNOWN, TinyConfig, tiny_model
from prefrl.text.packing import as_segment
from prefrl.text.policy import Policy, Prompt
from prefrl.text.settings import TextConfig
from prefrl_envs import tiny_instruct

TOKENS = (UNKNOWN, PAD, END, *tiny_instruct.vocabulary())


@pytest.mark.parametrize("most", [1, 12])
def test_generation_replayed_through_the_environment_gives_the_same_segments(most: int) -> None:
    lm = tiny_model(tiny_instruct.vocabulary(), TinyConfig(layers=1, hidden=16, heads=2), seed=0)
    with torch.no_grad():  # likelier ends, so that some answers end
        lm.causal.get_input_embeddings().weight[lm.end] *= 8.0  # type: ignore[index]
    assert lm.tokenizer.convert_ids_to_tokens(list(range(len(TOKENS)))) == list(TOKENS)
    rng = np.random.default_rng(0)
    texts = [prompt.text for prompt in tiny_instruct.prompts(8, rng, "train")]
    prompts = [Prompt(text, tuple(lm.tokenizer(text, add_special_tokens=False)["input_ids"])) for text in texts]
    policy = Policy(lm, TextConfig(most_tokens=most), gold=tiny_instruct.gold)
    acted = policy.act(prompts, 4, torch.Generator().manual_seed(0), lambda: None)
    env = tiny_instruct.TokenEnv(tokens=TOKENS, end=END, max_tokens=most)
    ends = set()
    for segment in acted.segments:
        assert isinstance(segment.view, Text)
        obs, info = env.reset(options={"prompt": segment.view.prompt})
        context, seen, rewards = info["context"], [], []
        for action in segment.act:
            seen.append(obs)
            obs, reward, terminated, truncated, info = env.step(np.int64(action))
            rewards.append(reward)
        assert terminated or truncated
        assert terminated == (segment.act[-1] == lm.end)
        ends.add(terminated)
        assert seen[0] == context[-1]
        view = Text(info["prompt"], info["answer"])
        again = as_segment(context.tolist(), segment.act.tolist(), view, rewards[-1])
        assert again.id == segment.id
        assert again.obs.tolist() == [int(o) for o in seen]
        assert view == segment.view or (view.prompt, view.answer) == (segment.view.prompt, segment.view.answer)
        assert segment.true_reward is not None
        assert segment.true_reward.tolist() == pytest.approx(rewards)
    assert most == 1 or ends == {True, False}
