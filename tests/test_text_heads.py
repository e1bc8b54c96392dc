"""The reward model and the value function of text: where they read, and that the core's ensemble carries them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from text_worlds import as_batch, prompts_of, tiny

from prefrl.acquisition import disagreement
from prefrl.choice import choice_loss
from prefrl.comparisons import Comparison, propose, ranked_pairs, select
from prefrl.ensemble import RewardEnsemble
from prefrl.fitting import FitConfig, fit
from prefrl.segments import Segment, Text, collate
from prefrl.text import heads, models
from prefrl.text.generation import sample
from prefrl.text.heads import Critic, Reading, TrunkReward, running_mean
from prefrl.text.models import LanguageModel, rough, trainable, with_lora
from prefrl.text.packing import answer_log_probs, as_segment, pack, token_ids

END = 2
LAST: Reading = "last"
MEAN: Reading = "mean"


def reward_net(lm: LanguageModel | None = None, *, members: int = 3, trunks: int = 1) -> TrunkReward:
    return TrunkReward(
        lm or tiny(spread=3.0), members=members, trunks=trunks, generator=torch.Generator().manual_seed(0)
    )


def segment(prompt: list[int], answer: list[int]) -> Segment:
    return as_segment(prompt, answer, Text("p", "a"))


def random_segments(n: int, *, prompts: int = 4, seed: int = 0) -> list[Segment]:
    """Answers of 1 to 6 tokens to a few prompts of other lengths."""
    rng = np.random.default_rng(seed)
    given = prompts_of(list(range(2, 2 + prompts)))
    return [segment(given[i % prompts], [*rng.integers(3, 23, rng.integers(0, 6)).tolist(), END]) for i in range(n)]


# ---- segments --------------------------------------------------------------------------------------------------------


def test_a_segment_holds_prompt_and_answer() -> None:
    """With P = 3: context = ids[:2], obs = ids[2:-1], act = ids[3:]."""
    s = as_segment([5, 6, 7], [8, 9, 2], Text("p", "a"), gold=1.5)
    assert (s.context.tolist(), s.obs.tolist(), s.act.tolist()) == ([5, 6], [7, 8, 9], [8, 9, 2])
    assert s.true_reward is not None
    assert s.true_reward.tolist() == [0, 0, 1.5]
    assert token_ids(s) == ([5, 6, 7], [8, 9, 2])


def test_packing_undoes_padding_on_both_sides() -> None:
    batch = collate([segment([5], [8, 2]), segment([5, 6, 7], [9]), segment([5], [7, 6, 2])])
    packed = pack(batch[torch.tensor([0, 1])], torch.device("cpu"))  # without the longest answer
    assert packed.prompts.tolist() == [[0, 0, 5], [5, 6, 7]]
    assert packed.real.tolist() == [[False, False, True], [True, True, True]]
    assert packed.which.tolist() == [0, 1]
    assert packed.act.tolist() == [[8, 2], [9, 0]]
    assert packed.mask.tolist() == [[True, True, False], [True, False, False]]
    assert pack(batch, torch.device("cpu")).which.tolist() == [0, 1, 0]  # a prompt of several answers is read once
    assert pack(batch[torch.tensor([0, 2])], torch.device("cpu")).prompts.tolist() == [[5]]


# ---- where the reward is read ----------------------------------------------------------------------------------------

ENDS = {
    "an end": ([5, 6], [8, 9, END]),
    "no end": ([5, 6], [8, 9, 10]),
    "an end at once": ([5, 6], [END]),
    "the longest": ([5, 6, 7, 8], [8, 9, 10, 11, 12, 13, END]),
    "an end in the prompt": ([END, 6, END], [9, END]),
    "a prompt of one token": ([5], [9, END]),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_reward_is_read_at_the_last_real_token(name: str) -> None:
    """Beside longer and shorter answers it is what the trunk says of the bare sequence's last token."""
    net = reward_net()
    ensemble = RewardEnsemble(net, credit="last_step")
    batch = collate([segment(*tokens) for tokens in ENDS.values()])
    with torch.no_grad():
        rewards = ensemble(batch)
        prompt, answer = ENDS[name]
        state = net.trunks[0](input_ids=torch.tensor([[*prompt, *answer]])).last_hidden_state[0, -1]
        wanted = net.heads @ state + net.bias
    row = rewards[:, list(ENDS).index(name)]
    assert torch.allclose(row[:, len(answer) - 1], wanted, atol=1e-5)
    assert torch.count_nonzero(row) == len(wanted)  # nowhere else


def test_running_mean_by_hand() -> None:
    """1, (1 + 3) / 2; a masked step changes nothing: 5, 5, (5 + 1) / 2."""
    mask = torch.tensor([[True, True, False], [True, False, True]])
    means = running_mean(torch.tensor([[1.0, 3.0, 9.0], [5.0, 9.0, 1.0]]), mask)
    assert means.tolist() == [[1.0, 2.0, 2.0], [5.0, 5.0, 3.0]]


def test_the_mean_reads_the_head_at_every_token_of_the_answer() -> None:
    """Which is what rewards of the answer cut off after each of its tokens come to, on average."""
    lm = tiny(spread=3.0)
    last, mean = (
        RewardEnsemble(
            TrunkReward(lm, members=2, reading=reading, generator=torch.Generator().manual_seed(0)), credit="last_step"
        )
        for reading in (LAST, MEAN)
    )
    with torch.no_grad():
        cut = last.returns(collate([segment([5, 6], [8, 9, END][:n]) for n in (1, 2, 3)]))
        longer = [segment([5, 6], [8, 9, END]), segment([5, 6, 7], [8, 9, 10, 11, END])]
        assert torch.allclose(mean.returns(collate(longer))[:, 0], cut.mean(dim=1), atol=1e-5)


def test_likelihood_adds_the_mean_log_probability_of_the_answer() -> None:
    """Twice the policy's own mean, since the reward's trunk is still a copy of it; the head's part is as before."""
    lm = tiny(spread=3.0)
    batch = collate([segment(*tokens) for tokens in ENDS.values()])
    plain, both = (
        TrunkReward(lm, members=2, trunks=2, likelihood=weight, generator=torch.Generator().manual_seed(0))
        for weight in (0.0, 2.0)
    )
    with torch.no_grad():
        log_probs = answer_log_probs(lm, batch, temperature=1.0)
        mean = log_probs.sum(dim=1) / batch.mask.sum(dim=1)
        alone = RewardEnsemble(plain, credit="last_step").returns(batch)
        added = RewardEnsemble(both, credit="last_step").returns(batch)
    assert torch.allclose(added, alone + 2.0 * mean, atol=1e-4)
    assert not torch.allclose(added, alone, atol=1e-2)


def test_a_reward_with_likelihood_learns_and_comes_back_from_its_file(tmp_path: Path) -> None:
    lm = tiny(spread=3.0)
    net, again = (
        TrunkReward(lm, members=2, trunks=2, likelihood=2.0, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 1)
    )
    batch = collate(random_segments(6))
    net(batch).sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in net.vocabularies.parameters())
    save_file(dict(net.state_dict()), tmp_path / "reward.safetensors")
    again.load_state_dict(load_file(tmp_path / "reward.safetensors"))
    with torch.no_grad():
        assert torch.equal(net(batch), again(batch))


def test_reading_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble, batch = RewardEnsemble(reward_net(), credit="last_step"), collate(random_segments(12))
    whole = ensemble.returns(batch)
    monkeypatch.setattr(heads, "TOKENS", 30)
    with torch.no_grad():
        assert torch.allclose(ensemble.returns(batch), whole, atol=1e-5)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("likelihood", [0.0, 1.0])
def test_16_bits_move_rewards_and_values_by_hundredths_of_their_spread(
    likelihood: float, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is read for judging; where the processor is not the faster for 16 bits they move not at all."""
    monkeypatch.setattr(models, "multiplies_bfloat16", lambda device: fast)
    lm = tiny(spread=3.0)
    net = TrunkReward(lm, members=3, likelihood=likelihood, generator=torch.Generator().manual_seed(0))
    critic, batch = Critic(net.trunks[0], lm), collate(random_segments(64))
    with torch.no_grad():
        critic.head.weight.normal_(generator=torch.Generator().manual_seed(0))
        plain = net(batch)[:, batch.mask], critic(pack(batch, lm.device))[batch.mask]
        with rough(lm.device):
            moved = net(batch)[:, batch.mask], critic(pack(batch, lm.device))[batch.mask]
    for wanted, got in zip(plain, moved, strict=True):
        error, spread = got - wanted, wanted.std(dim=-1)
        assert bool((error.std(dim=-1) < 0.02 * spread).all())
        assert bool((error.mean(dim=-1).abs() < 0.01 * spread).all())
        assert got.dtype == torch.float32
        assert (error.abs().max() > 0) == fast


def test_the_true_reward_is_out_of_sight() -> None:
    prompt, answer = [5, 6], [8, 2]
    ensemble = RewardEnsemble(reward_net(), credit="last_step")
    a, b = (collate([as_segment(prompt, answer, Text("p", "a"), gold=g)]) for g in (0.0, 1e9))
    assert torch.equal(ensemble.returns(a), ensemble.returns(b))


# ---- the core carries it ---------------------------------------------------------------------------------------------


def likes(s: Segment) -> float:
    """What the labeler of this file likes: low token numbers."""
    return -float(s.act.mean())


def answered(segments: list[Segment], n: int) -> list[Comparison]:
    queries = propose(segments, n, rng=np.random.default_rng(0))
    return [
        Comparison(q.options, (1.0, 0.0) if likes(q.options[0]) > likes(q.options[1]) else (0.0, 1.0)) for q in queries
    ]


@pytest.mark.parametrize("trunks", [1, 3])
def test_the_ensemble_is_fitted_by_the_core_and_members_differ(trunks: int) -> None:
    ensemble = RewardEnsemble(reward_net(trunks=trunks), credit="last_step")
    comparisons = answered(random_segments(120), 300)
    config = FitConfig(first_epochs=8, batch_size=32, learning_rate=3e-3, noise=0.0, adaptation=1.0)
    report = fit(ensemble, comparisons, config, np.random.default_rng(0))
    assert report.accuracy > 0.75
    returns = ensemble.returns(collate(random_segments(50, seed=1)))
    assert returns.std(dim=0).min() > 1e-4


def test_rankings_are_fitted_with_one_reading_of_each_answer() -> None:
    pool = {s.id: s for s in random_segments(80, prompts=1)}
    segments = list(pool.values())
    rankings = [segments[i : i + 5] for i in range(0, 40, 5)]
    comparisons = [c for options in rankings for c in ranked_pairs(options, [-likes(s) for s in options])]
    net, seen = reward_net(), []
    score = net._score
    net._score = lambda batch: seen.append(len(batch)) or score(batch)  # type: ignore[method-assign,func-returns-value]
    ensemble = RewardEnsemble(net, credit="last_step")
    fit(ensemble, comparisons, FitConfig(first_epochs=1, batch_size=2, noise=0.0), np.random.default_rng(0))
    assert seen[:4] == [10, 10, 10, 10]  # two rankings of five


def test_a_tie_teaches_nothing_at_equal_rewards_and_what_a_prompt_adds_does_not_count() -> None:
    returns = torch.full((3, 1, 2), 0.7, requires_grad=True)
    choice_loss(returns, torch.tensor([[0.5, 0.5]]), noise=0.0).sum().backward()  # type: ignore[no-untyped-call]
    assert returns.grad is not None
    assert torch.count_nonzero(returns.grad) == 0
    told = torch.randn(3, 4, 2)
    mu = torch.tensor([[1.0, 0.0]] * 4)
    assert torch.allclose(choice_loss(told + torch.randn(4, 1), mu), choice_loss(told, mu), atol=1e-5)


def test_the_same_acquisition_chooses_what_to_ask() -> None:
    ensemble = RewardEnsemble(reward_net(), credit="last_step")
    queries = propose(random_segments(30), 40, rng=np.random.default_rng(0))
    chosen = select(queries, 5, ensemble, disagreement)
    returns = ensemble.returns(collate([o for q in queries for o in q.options])).view(3, 40, 2)
    best = disagreement(returns).topk(5).indices.tolist()
    assert [q.id for q in chosen] == [queries[i].id for i in best]


@pytest.mark.parametrize("trunks", [1, 3])
def test_an_ensemble_comes_back_bit_by_bit(trunks: int, tmp_path: Path) -> None:
    for lm in (tiny(), with_lora(tiny(), rank=2, seed=0)):
        ensemble, again = (RewardEnsemble(reward_net(lm, trunks=trunks), credit="last_step") for _ in range(2))
        comparisons = answered(random_segments(40), 30)
        fit(ensemble, comparisons, FitConfig(first_epochs=2), np.random.default_rng(0))
        save_file(dict(ensemble.state_dict()), tmp_path / "e.safetensors")
        again.load_state_dict(load_file(tmp_path / "e.safetensors"))
        batch = collate(random_segments(9, seed=3))
        assert torch.equal(again.reward(batch), ensemble.reward(batch))
        saved = sum(t.numel() for n, t in load_file(tmp_path / "e.safetensors").items() if n.startswith("net."))
        assert saved == sum(p.numel() for p in trainable(ensemble.net).values())


# ---- values ----------------------------------------------------------------------------------------------------------


def test_values_start_at_zero_and_are_read_before_each_token() -> None:
    lm, net = tiny(spread=3.0), reward_net()
    critic = Critic(net.trunks[0], lm)
    batch = as_batch(p := prompts_of([3, 5]), sample(lm, p, most=6, generator=torch.Generator().manual_seed(0)))
    packed = pack(batch, lm.device)
    assert torch.count_nonzero(critic(packed)) == 0
    with torch.no_grad():
        critic.head.weight.normal_(generator=torch.Generator().manual_seed(0))
        values = critic(packed)
        for row, prompt in enumerate(p):
            answer = batch.act[row][batch.mask[row]].tolist()
            states = net.trunks[0](input_ids=torch.tensor([[*prompt, *answer]])).last_hidden_state[0]
            wanted = critic.head(states[len(prompt) - 1 : -1])[:, 0]
            assert torch.allclose(values[row, : len(answer)], wanted, atol=1e-5)


def test_the_critic_learns_apart_from_the_reward() -> None:
    net = reward_net()
    before = [p.clone() for p in net.parameters()]
    critic = Critic(net.trunks[0], tiny())
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
