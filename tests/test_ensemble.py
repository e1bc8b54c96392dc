import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from prefrl.ensemble import Credit, RewardEnsemble, split
from prefrl.segments import Segment, SegmentBatch, collate


class Known(nn.Module):
    """Member e gives (e + 1) * observation + e; at padded steps 1e6, which must never be seen."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members

    def forward(self, batch: SegmentBatch) -> Tensor:
        members = torch.arange(self.members)[:, None, None]
        return ((members + 1) * batch.obs[..., 0] + members).masked_fill(~batch.mask, 1e6)


class MLP(nn.Module):
    """A small network over observation, action and how much context there is."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(members, 4, 8, generator=generator))
        self.second = nn.Parameter(torch.randn(members, 8, 1, generator=generator))

    def forward(self, batch: SegmentBatch) -> Tensor:
        given = (batch.context[..., :1] * batch.context_mask[..., None]).sum(dim=1)  # [B, 1]
        given = given[:, None].expand(-1, batch.obs.shape[1], -1)
        inputs = torch.cat([batch.obs, batch.act, given], dim=-1)  # [B, T, 4]
        hidden = torch.tanh(torch.einsum("bti,eio->ebto", inputs, self.first))
        return torch.einsum("ebti,eio->ebto", hidden, self.second).squeeze(-1)


def segment(*observations: float) -> Segment:
    obs = np.array(observations, np.float32)[:, None]
    return Segment(obs, np.zeros_like(obs), np.zeros((0, 1), np.float32))


def random_segment(steps: int, given: int, seed: int) -> Segment:
    rng = np.random.default_rng([seed, steps, given])
    return Segment(
        rng.normal(size=(steps, 2)).astype(np.float32),
        rng.normal(size=(steps, 1)).astype(np.float32),
        rng.normal(size=(given, 2)).astype(np.float32),
    )


BATCH = collate([segment(1, 2, 3), segment(5)])


def test_rewards_by_hand() -> None:
    ensemble = RewardEnsemble(Known(2), credit="each_step")
    assert ensemble(BATCH).tolist() == [[[1, 2, 3], [5, 0, 0]], [[3, 5, 7], [11, 0, 0]]]
    assert ensemble.returns(BATCH).tolist() == [[6, 5], [15, 11]]
    # Not calibrated yet: the mean over members.
    assert ensemble.reward(BATCH).tolist() == [[2, 3.5, 5], [8, 0, 0]]


def test_last_step_credit_lands_on_the_last_real_step() -> None:
    ensemble = RewardEnsemble(Known(2), credit="last_step")
    assert ensemble(BATCH).tolist() == [[[0, 0, 3], [5, 0, 0]], [[0, 0, 7], [11, 0, 0]]]
    assert ensemble.returns(BATCH).tolist() == [[3, 5], [7, 11]]
    ensemble.calibrate(BATCH)
    # Member 0: 3 and 5, mean 4, sd 1; member 1: 7 and 11, mean 9, sd 2: both -1 and 1, and nothing elsewhere.
    assert ensemble.reward(BATCH).tolist() == [[0, 0, -1], [1, 0, 0]]


def test_calibration_by_hand() -> None:
    ensemble = RewardEnsemble(Known(2), credit="each_step")
    batch = collate([segment(1, 2), segment(3, 5)])
    returns = ensemble.calibrate(batch)
    assert returns.tolist() == [[3, 8], [8, 18]]
    # Member 0: 1, 2, 3, 5: mean 11/4, variance 39/4 - 121/16 = 35/16. Member 1 is 2x + 1: mean 13/2, variance 35/4.
    assert ensemble.shift.tolist() == pytest.approx([2.75, 6.5])
    assert ensemble.scale.tolist() == pytest.approx([(35 / 16) ** 0.5, (35 / 4) ** 0.5])
    assert bool(ensemble.fitted)
    assert ensemble.reward(batch)[0].tolist() == pytest.approx([(x - 2.75) / (35 / 16) ** 0.5 for x in (1, 2)])
    assert ensemble.returns(batch).tolist() == [[3, 8], [8, 18]]  # the choice model's scale stays


def test_a_reward_keeps_its_zero_where_segments_end_early() -> None:
    """Comparisons of a long and a short one have told what a step more is worth; a mean of 0 would unsay it."""
    ensemble = RewardEnsemble(Known(2), credit="each_step")
    ensemble.calibrate(BATCH)  # three steps and one
    assert ensemble.shift.tolist() == [0, 0]
    assert ensemble.scale.tolist() == pytest.approx([(35 / 16) ** 0.5, (35 / 4) ** 0.5])
    assert (ensemble.reward(BATCH)[BATCH.mask] > 0).all()  # as before, so that an episode's end is no relief
    # Once all are equally long nothing tells the zero, and it is the mean.
    ensemble.calibrate(collate([segment(1, 2), segment(3, 5)]))
    assert ensemble.shift.tolist() == pytest.approx([2.75, 6.5])


@pytest.mark.parametrize("worth", [1, -1])
def test_a_step_more_is_paid_what_it_was_learned_to_be_worth(worth: int) -> None:
    ensemble = RewardEnsemble(Known(1), credit="each_step")
    batch = collate([segment(worth, worth, worth), segment(worth)])
    ensemble.calibrate(batch)
    assert ensemble.reward(batch).sum(dim=1).tolist() == [3 * worth, worth]


@pytest.mark.parametrize("credit", ["each_step", "last_step"])
def test_bug_3_each_member_is_normalized_by_itself(credit: Credit) -> None:
    """B-Pref never normalized. Without it, a member of a larger scale drowns the others in the mean."""
    ensemble = RewardEnsemble(MLP(3), credit=credit)
    with torch.no_grad():
        ensemble.net.second[1] *= 100.0  # type: ignore[index, operator]
    batch = collate([random_segment(3, i % 3, i) for i in range(40)])
    ensemble.calibrate(batch)
    rewards = (ensemble(batch) - ensemble.shift[:, None, None]) / ensemble.scale[:, None, None]
    credited = rewards[:, ensemble.credited(batch)]
    assert credited.mean(dim=1).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert credited.std(dim=1, correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert torch.allclose(ensemble.reward(batch)[ensemble.credited(batch)], credited.mean(dim=0), atol=1e-5)


def test_a_constant_tells_something_only_where_segments_differ_in_length() -> None:
    ensemble = RewardEnsemble(Known(1), credit="each_step")
    ensemble.calibrate(collate([segment(2, 2), segment(2, 2)]))
    assert (ensemble.shift.tolist(), ensemble.scale.tolist()) == ([2], [math.inf])
    assert ensemble.reward(BATCH).tolist() == [[0, 0, 0], [0, 0, 0]]
    ensemble.calibrate(collate([segment(2, 2), segment(2)]))  # that a step is worth 2
    assert (ensemble.shift.tolist(), ensemble.scale.tolist()) == ([0], [1])


def test_what_only_ties_have_taught_pays_nothing() -> None:
    """Rewards of 2 and 2.001 are as good as equal; elsewhere the member may say anything, here 3."""
    ensemble = RewardEnsemble(Known(1), credit="each_step", std=0.05)
    ensemble.calibrate(collate([segment(2, 2.001), segment(2.001, 2)]))
    assert ensemble.reward(collate([segment(3, 2)]))[0].tolist() == [0, 0]
    ensemble.calibrate(collate([segment(2, 2.01), segment(2.01, 2)]))  # .005 on either side tells
    assert ensemble.scale.tolist() == pytest.approx([0.1])


@pytest.mark.parametrize("credit", ["each_step", "last_step"])
@given(sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4)), min_size=1, max_size=5))
def test_padding_changes_nothing(credit: Credit, sizes: list[tuple[int, int]]) -> None:
    ensemble = RewardEnsemble(MLP(3), credit=credit)
    segments = [random_segment(steps, given, i) for i, (steps, given) in enumerate(sizes)]
    padded = collate(segments)
    ensemble.calibrate(padded)
    near = max(1e-4, 1e-5 / float(ensemble.scale.min()))  # where all segments are nearly alike, rounding is magnified
    with torch.no_grad():
        for i, alone in enumerate(segments):
            batch = collate([alone])
            steps = len(alone)
            assert torch.allclose(ensemble(padded)[:, i, :steps], ensemble(batch)[:, 0], atol=1e-5)
            assert torch.allclose(ensemble.returns(padded)[:, i], ensemble.returns(batch)[:, 0], atol=1e-5)
            assert torch.allclose(ensemble.reward(padded)[i, :steps], ensemble.reward(batch)[0], atol=near)
            assert (ensemble.reward(padded)[i, steps:] == 0).all()
            assert (ensemble(padded)[:, i, steps:] == 0).all()


def test_padding_takes_no_gradient() -> None:
    ensemble = RewardEnsemble(MLP(2), credit="each_step")
    parameters = list(ensemble.parameters())
    short, long = random_segment(2, 1, 0), random_segment(6, 3, 1)
    alone = torch.autograd.grad(ensemble.returns(collate([short]))[:, 0].sum(), parameters)
    padded = torch.autograd.grad(ensemble.returns(collate([short, long]))[:, 0].sum(), parameters)
    for one, other in zip(alone, padded, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_calibration_travels_with_the_weights() -> None:
    ensemble, copy = RewardEnsemble(Known(2), credit="each_step"), RewardEnsemble(Known(2), credit="each_step")
    ensemble.calibrate(BATCH)
    copy.load_state_dict(ensemble.state_dict())
    assert torch.equal(copy.reward(BATCH), ensemble.reward(BATCH))


def test_split_covers_a_batch_in_order() -> None:
    batch = collate([segment(i, i) for i in range(5)])
    pieces = split(batch, steps=4)  # two steps a segment: two segments a piece
    assert [len(piece) for piece in pieces] == [2, 2, 1]
    assert torch.equal(torch.cat([piece.obs for piece in pieces]), batch.obs)
    assert [len(piece) for piece in split(batch, steps=1)] == [1] * 5  # at least one, however long


def test_zero_is_the_mean_reward_of_the_segments_that_are_to_have_it() -> None:
    """The scale is still that of the segments that were asked about."""
    asked = collate([random_segment(steps, 2, 0) for steps in (3, 1, 5, 2)])
    zero = collate([random_segment(steps, 1, 1) for steps in (2, 4)])
    plain, shifted = (RewardEnsemble(MLP(3), credit="last_step", zero=z) for z in (None, zero))
    for ensemble in (plain, shifted):
        ensemble.calibrate(asked)
    assert torch.allclose(shifted.reward(zero).sum(), torch.tensor(0.0), atol=1e-5)
    assert torch.equal(plain.scale, shifted.scale)
    last = asked.mask.sum(dim=1) - 1
    difference = (shifted.reward(asked) - plain.reward(asked)).gather(1, last[:, None])
    assert torch.allclose(difference, difference[0].expand_as(difference), atol=1e-5)
    assert not torch.allclose(difference, torch.zeros_like(difference))
