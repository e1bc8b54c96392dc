"""The reward network for pictures."""

import numpy as np
import pytest
import torch

from prefrl.choice import choice_loss
from prefrl.comparisons import Comparison
from prefrl.control import conv_reward
from prefrl.control.conv_reward import ConvReward
from prefrl.ensemble import RewardEnsemble
from prefrl.fitting import FitConfig, fit, newest
from prefrl.processor import byte_weight
from prefrl.segments import Segment, SegmentBatch, collate
from prefrl.stacks import stacked

SHAPE = (4, 84, 84)


def net(members: int, *, seed: int = 0) -> ConvReward:
    return ConvReward(shape=SHAPE, members=members, generator=torch.Generator().manual_seed(seed))


def clip(steps: int, *, seed: int, light: float = 1.0) -> Segment:
    frames = np.random.default_rng(seed).integers(256, size=(steps + 3, 84, 84)) * light
    obs = stacked(frames.astype(np.uint8), 4)
    return Segment(obs, np.zeros(steps, np.int64), np.zeros((0, *SHAPE), np.uint8))


def batch_of(*steps: int) -> SegmentBatch:
    return collate([clip(n, seed=i) for i, n in enumerate(steps)])


def member(whole: ConvReward, i: int) -> ConvReward:
    """One member of an ensemble as a network of its own."""
    alone = net(1)
    part = slice(i * conv_reward.FILTERS, (i + 1) * conv_reward.FILTERS)
    state = {}
    for name, value in whole.state_dict().items():
        is_weight = name[:2] in ("w1", "w2", "b1", "b2")
        state[name] = value[i : i + 1] if is_weight else value if value.dim() == 0 else value[part]
    alone.load_state_dict(state)
    return alone


def test_sizes_by_hand() -> None:
    """84 -> (84 - 7) / 3 + 1 = 26 -> 11 -> 9 -> 7; 16 filters each, so 784 numbers reach the 64 units."""
    made = net(2)
    assert [tuple(layer.weight.shape) for layer in made.convolutions] == [
        (32, 4, 7, 7), (32, 16, 5, 5), (32, 16, 3, 3), (32, 16, 3, 3),
    ]  # fmt: skip
    assert made.w1.shape == (2, 784, 64)
    one = net(1)
    weights = 4 * 49 * 16 + 25 * 256 + 2 * 9 * 256 + 784 * 64 + 64
    assert sum(p.numel() for p in one.parameters()) == weights + 64 + 1 + 4 * 2 * 16  # biases, batch norms


@pytest.mark.parametrize("training", [False, True])
def test_an_ensemble_is_its_members_side_by_side(training: bool) -> None:
    """The batch norm's statistics, too: no member sees another's."""
    whole, batch = net(3).train(), batch_of(5, 5)
    whole(batch)  # so that running statistics are not those of the start
    apart = [member(whole, i).train(training) for i in range(3)]
    whole.train(training)
    together = whole(batch)
    for i, alone in enumerate(apart):
        torch.testing.assert_close(together[i], alone(batch)[0], rtol=1e-4, atol=1e-5)
    for i, alone in enumerate(apart):
        for name, value in member(whole, i).state_dict().items():
            torch.testing.assert_close(value, alone.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_no_member_learns_from_another_s_bag() -> None:
    made, batch = net(3).train(), batch_of(4, 4)
    returns = made(batch).sum(dim=-1)[:, None]  # [E, 1, K]
    losses = choice_loss(returns, torch.tensor([[1.0, 0.0]]))
    (losses * torch.tensor([[0.0], [2.0], [0.0]])).sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        parts = parameter.grad.unflatten(0, (3, -1)).flatten(1).abs().sum(dim=1)
        assert parts[0] == parts[2] == 0, name
    assert made.w1.grad[1].abs().sum() > 0


def test_padding_changes_nothing() -> None:
    """Neither a reward nor what batch norm learns."""
    padded, apart = net(2).train(), net(2).train()
    batch = batch_of(6, 3)
    scores = padded(batch)
    seen = batch.obs[batch.mask][None]
    mask = torch.ones(1, 9, dtype=torch.bool)
    row = SegmentBatch(seen, torch.zeros(1, 9), mask, seen[:, :0], mask[:, :0])
    torch.testing.assert_close(scores[:, batch.mask], apart(row)[:, 0], rtol=1e-4, atol=1e-5)
    for name, value in padded.state_dict().items():
        torch.testing.assert_close(value, apart.state_dict()[name], rtol=1e-4, atol=1e-6)
    assert (scores[:, ~batch.mask] == 0).all()


def test_scoring_in_pieces_is_scoring_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = net(2).eval()
    batch = batch_of(5, 5, 5)
    whole = made(batch)
    monkeypatch.setattr(conv_reward, "PIECE", 5)
    torch.testing.assert_close(made(batch), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("largest", [127, 64])
def test_bytes_by_rounded_weights_by_hand(largest: int) -> None:
    """Weights up to 1.27, or .64, become multiples of .01. Sums of bright pictures fit; so do filters of zeros."""
    if byte_weight("cpu") < largest:
        pytest.skip(f"this processor does not multiply bytes by whole numbers up to {largest}")
    most = largest / 100.0
    weight = torch.tensor([[most] * 4, [-most, 0.634, 0.0, 0.0], [-most] * 4, [0.0] * 4]).view(4, 1, 2, 2)
    pictures = torch.tensor([[255, 255, 100, 0], [255, 255, 9, 9]], dtype=torch.uint8).view(1, 1, 2, 4)
    bias = torch.tensor([0.5, 0.0, 0.0, 3.0])
    convolved = conv_reward.convolve_bytes(pictures, weight, bias, [2, 2], torch.float32, largest=largest)
    assert convolved.shape == (1, 4, 1, 2)
    expected = [
        [4 * 255 * most + 0.5, 118 * most + 0.5],
        [255 * -most + 255 * 0.63, 100 * -most],
        [4 * 255 * -most, 118 * -most],
        [3.0, 3.0],
    ]
    assert convolved[0, :, 0].tolist() == [pytest.approx(row, rel=1e-5) for row in expected]


@pytest.mark.skipif(byte_weight("cpu") == 0, reason="this processor does not multiply bytes")
def test_what_is_paid_hardly_differs_from_what_is_learned() -> None:
    made, batch = net(3), batch_of(25, 25)
    with torch.no_grad():
        made.train()(batch)  # so that batch norm has seen pictures
        paid = made.eval()(batch)
    learned = made(batch)
    error = (paid - learned).std(dim=(1, 2)) / learned.std(dim=(1, 2))
    assert bool((error < 0.03 * 127 / byte_weight("cpu")).all()), error  # the wider the steps, the more
    assert not torch.equal(paid, learned)


def test_gradients_reach_the_first_layer_of_a_network_that_scores() -> None:
    made = net(2).eval()
    made(batch_of(3)).sum().backward()  # type: ignore[no-untyped-call]
    grad = made.convolutions[0].weight.grad
    assert grad is not None
    assert float(grad.abs().sum()) > 0


def test_rewards_have_the_paper_s_standard_deviation() -> None:
    """.05 for each member, on what was asked about."""
    first, second = net(3), net(3)
    for each in (first, second):
        each.w2.data *= 100.0  # as if it had learned something: untaught it hardly tells steps apart
    ensemble = RewardEnsemble(first, credit="each_step", std=0.05)
    batch = batch_of(30, 30)
    ensemble.calibrate(batch)
    with torch.no_grad():  # as rewards are paid
        scaled = (ensemble(batch) - ensemble.shift[:, None, None]) / ensemble.scale[:, None, None]
    of_steps = scaled[:, batch.mask]
    torch.testing.assert_close(of_steps.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(of_steps.std(dim=1, correction=0), torch.full((3,), 0.05), atol=1e-5, rtol=0)
    unit = RewardEnsemble(second, credit="each_step")
    unit.calibrate(batch)
    torch.testing.assert_close(ensemble.reward(batch), unit.reward(batch) * 0.05)


def test_it_learns_to_prefer_the_light() -> None:
    torch.manual_seed(0)
    clips = [clip(4, seed=i, light=0.2 + 0.8 * (i % 2)) for i in range(40)]
    answers = [Comparison((clips[i], clips[i + 1]), (0.0, 1.0)) for i in range(0, 40, 2)]
    ensemble = RewardEnsemble(net(2), credit="each_step", std=0.05)
    config = FitConfig(first_epochs=8, batch_size=10, learning_rate=1e-3)
    fit(ensemble, answers, config, np.random.default_rng(0))
    paid = ensemble.reward(collate(clips)).sum(dim=1)
    assert (paid[1::2].min() > paid[0::2].max()).item()


def test_only_the_newest_comparisons_are_fitted() -> None:
    clips = [clip(2, seed=i) for i in range(6)]
    pair = [Comparison((clips[i], clips[i + 1]), (1.0, 0.0)) for i in range(5)]
    assert newest(pair, 2) == pair[-2:]
    assert newest(pair, 10) == pair
    ranked = [Comparison(c.options, c.mu, ranking=name) for c, name in zip(pair, "aabbc", strict=True)]
    assert newest(ranked, 2) == ranked[2:]  # the parts of a ranking stay together
    ensemble = RewardEnsemble(net(1), credit="each_step")
    config = FitConfig(first_epochs=1, newest=2)
    assert fit(ensemble, pair, config, np.random.default_rng(0)).comparisons == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_scores_and_learns_as_a_processor_does() -> None:
    """What is scored comes back to where the pictures are; where nothing is rounded to 19 bits, so are gradients."""
    batch, found = batch_of(5, 3), []
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        for device in ("cpu", "cuda"):
            network = net(2).to(device).train()
            learned = network(batch)
            learned.sum().backward()
            gradients = [weight.grad.cpu() for weight in network.parameters() if weight.grad is not None]
            with torch.no_grad():
                found.append([learned.detach(), network.eval()(batch), *gradients])
    for on_cpu, on_gpu in zip(*found, strict=True):
        assert on_gpu.device.type == "cpu"
        torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-3, atol=1e-3 * float(on_cpu.abs().max()))
