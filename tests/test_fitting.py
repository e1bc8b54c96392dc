import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from fits import QUICK, WEIGHTS, Linear, answered, clips, pairs, perceptrons, same
from torch import Tensor, nn
from worlds import clip

from prefrl import fitting
from prefrl.choice import choice_loss
from prefrl.comparisons import Comparison, from_ranking, query_id
from prefrl.control.networks import MLPReward
from prefrl.ensemble import RewardEnsemble
from prefrl.errors import Interrupted
from prefrl.fitting import (
    FitConfig,
    adapt_weight_decay,
    bag_counts,
    cosine_schedule,
    fit,
)
from prefrl.segments import SegmentBatch, collate

# ---- the bootstrap ---------------------------------------------------------------------------------------------------

IDS = [f"{i:032x}" for i in range(20000)]


def test_bags_are_bootstrap_samples() -> None:
    """Drawn N of N: one of each on average, Poisson's variance, and 1/e of the comparisons held out."""
    counts = bag_counts(IDS, 3)
    assert counts.shape == (20000, 3)
    for member in counts.T:
        assert member.mean() == pytest.approx(1.0, abs=0.03)
        assert member.var() == pytest.approx(1.0, abs=0.05)
        assert (member == 0).mean() == pytest.approx(1 / math.e, abs=0.01)
        assert (member == 1).mean() == pytest.approx(1 / math.e, abs=0.01)
        assert (member == 2).mean() == pytest.approx(1 / math.e / 2, abs=0.01)
    assert np.abs(np.corrcoef(counts.T) - np.eye(3)).max() < 0.03  # members draw independently


def test_what_was_held_out_stays_held_out() -> None:
    """imitation draws its split anew at each fit, so that it validates on what it has trained on."""
    counts = bag_counts(IDS[:100], 3)
    assert (bag_counts(IDS, 3)[:100] == counts).all()  # others arrived
    assert (bag_counts(IDS[99::-1], 3)[::-1] == counts).all()  # in another order
    assert (bag_counts(IDS[:100], 5)[:, :3] == counts).all()


@pytest.mark.parametrize("member", range(3))
def test_a_member_never_learns_from_what_is_outside_its_bag(member: int) -> None:
    """Other answers there leave its weights as they are, to the bit; other answers inside do not."""
    comparisons = pairs(40)
    bag = bag_counts([query_id([s.id for s in c.options]) for c in comparisons], 3)[:, member]

    def flipped(places: np.ndarray) -> list[Comparison]:
        return [replace(c, mu=c.mu[::-1]) if at else c for c, at in zip(comparisons, places, strict=True)]

    def weights(told: list[Comparison]) -> bytes:
        ensemble = perceptrons()
        fit(ensemble, told, QUICK, np.random.default_rng(0))
        return b"".join(p[member].detach().numpy().tobytes() for p in ensemble.parameters())

    assert weights(flipped(bag == 0)) == weights(comparisons)
    assert weights(flipped(bag == 1)) != weights(comparisons)


# ---- weight decay ----------------------------------------------------------------------------------------------------


def test_weight_decay_keeps_validation_loss_in_proportion() -> None:
    """Christiano et al. 2017: validation loss between 1.1 and 1.5 times training loss."""
    assert adapt_weight_decay(0.1, 1.51, 1.2) == pytest.approx(0.12)
    assert adapt_weight_decay(0.12, 1.09, 1.2) == pytest.approx(0.1)
    for ratio in (1.1, 1.3, 1.5):
        assert adapt_weight_decay(0.1, ratio, 1.2) == 0.1
    assert adapt_weight_decay(3.0, 9.0, 1.2) == 3.0  # the bounds
    assert adapt_weight_decay(1e-4, 0.5, 1.2) == 1e-4


@pytest.mark.parametrize(("decay", "shrinks"), [(0.0, False), (0.1, True)])
def test_without_regularization_nothing_pulls_at_the_weights(decay: float, shrinks: bool) -> None:
    """Observations of zeros give no gradient, so that only weight decay moves weights; without it none ever comes."""
    ensemble = RewardEnsemble(Linear(3), credit="each_step")
    before = ensemble.net.weight.detach().clone()
    nothing = [Comparison((clip(np.zeros((i, 3))), clip(np.zeros((i + 1, 3)))), (1.0, 0.0)) for i in range(1, 20)]
    report = fit(ensemble, nothing, replace(QUICK, weight_decay=decay, adaptation=1.1), np.random.default_rng(0))
    assert (ensemble.net.weight.abs() < before.abs()).all() == shrinks
    assert torch.equal(ensemble.net.weight, before) != shrinks
    assert (report.weight_decay > 0) == shrinks


@pytest.mark.parametrize(("inside", "outside"), [(100, 1), (1, 100), (63, 37), (10, 90)])
def test_the_ratio_is_one_of_means_per_comparison(inside: int, outside: int) -> None:
    """imitation divides sums: with a tenth of the data held out its ratio is a ninth of what it should be."""
    weights = torch.cat([torch.ones(2, inside), torch.zeros(2, outside)], dim=1)
    losses, share = torch.where(weights > 0, 0.5, 0.7), torch.ones(inside + outside)
    assert fitting._ratio(fitting._inside_outside(losses, weights, share)) == pytest.approx(1.4)
    # In minibatches of unequal size, too.
    at = (slice(0, 7), slice(7, None))
    parts = [fitting._inside_outside(losses[:, part], weights[:, part], share[part]) for part in at]
    assert fitting._ratio(sum(parts, torch.zeros(2, 2))) == pytest.approx(1.4)


def test_a_comparison_drawn_twice_counts_twice_inside() -> None:
    """Half of a ranking counts half: 2 * .5 * 1 + 4 = 5 of 2 inside, 5 + .25 * 7 = 6.75 of 1.25 outside."""
    losses, weights = torch.tensor([[1.0, 4.0, 5.0, 7.0]]), torch.tensor([[2.0, 1.0, 0.0, 0.0]])
    share = torch.tensor([0.5, 1.0, 1.0, 0.25])
    assert fitting._inside_outside(losses, weights, share).tolist() == [[5.0, 2.0], [6.75, 1.25]]


def test_losses_are_per_comparison_whatever_their_number() -> None:
    """A network that knows nothing loses log 2 a pair, inside and outside."""
    for n in (10, 200):
        ensemble = RewardEnsemble(Linear(3), credit="each_step")
        with torch.no_grad():
            ensemble.net.weight.zero_()
        report = fit(ensemble, pairs(n), replace(QUICK, learning_rate=0.0), np.random.default_rng(0))
        assert report.comparisons == n
        assert report.loss == pytest.approx(math.log(2), rel=1e-4)
        assert report.validation_loss == pytest.approx(math.log(2), rel=1e-4)


def test_weight_decay_falls_when_nothing_is_overfitted_and_is_remembered() -> None:
    ensemble = RewardEnsemble(Linear(3), credit="each_step")
    with torch.no_grad():
        ensemble.net.weight.zero_()
    config = replace(QUICK, learning_rate=0.0, adaptation=1.25, weight_decay=0.1, first_epochs=2, updates=1)
    report = fit(ensemble, pairs(20), config, np.random.default_rng(0))
    assert report.weight_decay == pytest.approx(0.1 / 1.25**2)  # the ratio is 1 in both passes
    report = fit(ensemble, pairs(20), config, np.random.default_rng(1))
    assert report.weight_decay == pytest.approx(0.1 / 1.25**3)


def test_weight_decay_rises_when_answers_are_noise() -> None:
    rng = np.random.default_rng(0)
    noise = [replace(c, mu=c.mu[:: rng.choice([1, -1])]) for c in pairs(40)]
    config = FitConfig(first_epochs=150, batch_size=8, weight_decay=0.01, learning_rate=3e-3)
    report = fit(perceptrons(), noise, config, np.random.default_rng(0))
    assert report.weight_decay > 0.05
    assert report.validation_loss > report.loss


# ---- equal to the plain way ------------------------------------------------------------------------------------------


def cases() -> dict[str, list[Comparison]]:
    some = clips(12)
    mixed_lengths = [clip(s.obs[: 1 + i % 5]) for i, s in enumerate(some)]
    return {
        "pairs": pairs(12),
        "a segment in many questions": [answered([some[0], other]) for other in some[1:]],
        "ties and soft answers": [Comparison((a, b), mu) for a, b, mu in zip(
            some[:4], some[4:8], [(0.5, 0.5), (0.73, 0.27), (0.0, 1.0), (0.5, 0.5)], strict=True)],
        "four options": [answered(some[i : i + 4]) for i in range(0, 9)],
        "two to four options": [answered(some[i : i + 2 + i % 3]) for i in range(0, 9)],
        "clips of many lengths": [answered(mixed_lengths[i : i + 3]) for i in range(0, 10)],
    }  # fmt: skip


@pytest.mark.parametrize("case", cases())
def test_one_update_equals_the_plain_loop(case: str) -> None:
    """Over members, comparisons and options, each segment scored wherever it occurs, nothing padded."""
    comparisons, members = cases()[case], 3
    config = FitConfig(first_epochs=1, batch_size=100, weight_decay=0.3, adaptation=1.0)
    ensemble = RewardEnsemble(Linear(members), credit="each_step")
    plain = ensemble.net.weight.detach().clone().requires_grad_()
    fit(ensemble, comparisons, config, np.random.default_rng(0))

    bags = bag_counts([query_id([s.id for s in c.options]) for c in comparisons], members)
    loss = torch.zeros(())
    for member in range(members):
        for comparison, count in zip(comparisons, bags[:, member], strict=True):
            returns = torch.stack([(torch.tensor(s.obs) @ plain[member]).sum() for s in comparison.options])
            loss = loss + float(count) * choice_loss(returns, torch.tensor(comparison.mu)) / len(comparisons)
    optimizer = torch.optim.AdamW([plain], lr=1e-3, betas=(0.9, 0.99), weight_decay=0.3)
    loss.backward()
    optimizer.step()
    torch.testing.assert_close(ensemble.net.weight, plain, atol=2e-6, rtol=0)


def test_all_members_together_equal_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    together, comparisons, config = perceptrons(3), pairs(30), replace(QUICK, first_epochs=5)
    alone = []
    for member in range(3):
        one = perceptrons(1)
        state = perceptrons(3).state_dict()
        one.load_state_dict({k: v[member : member + 1] if v.shape[:1] == (3,) else v for k, v in state.items()})
        with monkeypatch.context() as patch:
            patch.setattr(fitting, "bag_counts", lambda ids, _, m=member: bag_counts(ids, 3)[:, m : m + 1])
            fit(one, comparisons, config, np.random.default_rng(0))
        alone.append(one)
    fit(together, comparisons, config, np.random.default_rng(0))
    batch = collate([s for c in pairs(5, seed=9) for s in c.options])

    def members(ensemble: RewardEnsemble) -> Tensor:
        # Calibrated: a constant that is added to all rewards changes no choice, so its gradient is only rounding, of
        # which Adam makes steps.
        return (ensemble(batch) - ensemble.shift[:, None, None]) / ensemble.scale[:, None, None]

    torch.testing.assert_close(members(together), torch.cat([members(one) for one in alone]), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(together.scale, torch.cat([one.scale for one in alone]), atol=1e-4, rtol=1e-4)


def test_one_forward_pass_a_minibatch() -> None:
    """imitation calls its network once for each clip of each pair."""
    ensemble = RewardEnsemble(Linear(3), credit="each_step")
    fit(ensemble, pairs(20), replace(QUICK, first_epochs=2, batch_size=5), np.random.default_rng(0))
    assert ensemble.net.calls == 2 * 4 + 1  # and one to calibrate


def test_how_long_a_fit_lasts() -> None:
    ensemble, config = perceptrons(), replace(QUICK, first_epochs=3, updates=7, batch_size=8)
    fit(ensemble, pairs(20), config, np.random.default_rng(0))
    assert int(ensemble.net.batches) == 3 * 3  # type: ignore[arg-type]
    fit(ensemble, pairs(20), config, np.random.default_rng(0))
    assert int(ensemble.net.batches) == 3 * 3 + 7  # type: ignore[arg-type]


# ---- what comes of it ------------------------------------------------------------------------------------------------


def test_it_learns_what_the_labeler_likes() -> None:
    ensemble = perceptrons()
    report = fit(ensemble, pairs(300), FitConfig(first_epochs=60), np.random.default_rng(0))
    assert report.accuracy > 0.85
    assert report.loss < 0.5
    fresh = pairs(500, seed=5)
    returns = ensemble.returns(collate([s for c in fresh for s in c.options])).view(3, -1, 2)
    right = (returns.argmax(dim=-1) == torch.tensor([c.mu for c in fresh]).argmax(dim=-1)).float().mean(dim=1)
    assert right.min() > 0.88


def test_it_ends_calibrated_and_still() -> None:
    ensemble, comparisons = perceptrons(), pairs(50)
    fit(ensemble, comparisons, QUICK, np.random.default_rng(0))
    assert not ensemble.training
    asked = {s.id: s for c in comparisons for s in c.options}
    batch = collate(list(asked.values()))
    members = (ensemble(batch) - ensemble.shift[:, None, None]) / ensemble.scale[:, None, None]
    torch.testing.assert_close(members.flatten(1).mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(members.flatten(1).std(dim=1, correction=0), torch.ones(3), atol=1e-5, rtol=0)
    before = {k: v.clone() for k, v in ensemble.state_dict().items()}
    ensemble.reward(batch)
    assert all(torch.equal(before[k], v) for k, v in ensemble.state_dict().items())


def test_no_comparisons_change_nothing() -> None:
    ensemble, rng = perceptrons(), np.random.default_rng(0)
    report = fit(ensemble, [], FitConfig(), rng)
    assert same(ensemble, perceptrons())
    assert rng.random() == np.random.default_rng(0).random()
    assert report.comparisons == 0
    assert math.isnan(report.loss)
    assert math.isnan(report.accuracy)
    assert report.metrics["seconds_fitting"] == 0


def test_the_same_generator_gives_the_same_fit() -> None:
    fitted = [perceptrons() for _ in range(3)]
    for ensemble, seed in zip(fitted, (0, 0, 1), strict=True):
        fit(ensemble, pairs(20), QUICK, np.random.default_rng(seed))
    assert same(fitted[0], fitted[1])
    assert not same(fitted[0], fitted[2])


def test_noise_bounds_what_one_wrong_answer_costs() -> None:
    """mrahtz left the 10 % out; it does change gradients. With it no answer costs more than -log .05."""
    a, b = clip(np.full((5, 3), 100.0)), clip(np.full((5, 3), -100.0))
    weights = []
    for noise, most in ((0.1, -math.log(0.05)), (0.0, math.inf)):
        ensemble = RewardEnsemble(Linear(3), credit="each_step")
        with torch.no_grad():
            ensemble.net.weight.fill_(1.0)
        report = fit(ensemble, [Comparison((a, b), (0.0, 1.0))], replace(QUICK, noise=noise), np.random.default_rng(0))
        losses = [x for x in (report.loss, report.validation_loss) if not math.isnan(x)]
        assert all(loss <= most + 1e-4 for loss in losses)
        weights.append(ensemble.net.weight.detach().clone())
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize(
    "comparisons",
    [
        pairs(1),
        pairs(2),
        [Comparison(c.options, (0.5, 0.5)) for c in pairs(10)],
        [answered([clip(np.full((5, 3), 1e10)), clip(np.full((5, 3), -1e10))])],
        [answered([clip(np.zeros((5, 3))), clip(np.zeros((4, 3)))])],
        [answered([clip(np.ones((1, 3))), *clips(3)]), *pairs(3)],
    ],
    ids=["one", "two", "only ties", "far out", "nothing varies", "mixed"],
)
def test_nan_never_appears(comparisons: list[Comparison]) -> None:
    ensemble = perceptrons()
    for _ in range(2):
        report = fit(ensemble, comparisons, FitConfig(first_epochs=20), np.random.default_rng(0))
        assert all(torch.isfinite(value.float()).all() for value in ensemble.state_dict().values())
        batch = collate([s for c in comparisons for s in c.options])
        assert torch.isfinite(ensemble.reward(batch)).all()
        assert math.isfinite(report.weight_decay)
        # Numbers or, where nothing lies outside or inside a bag, nothing; never infinite.
        assert not any(math.isinf(value) for value in report.metrics.values())


def test_ties_are_learned_as_ties_and_do_not_count_as_right_or_wrong() -> None:
    report = fit(perceptrons(), [replace(c, mu=(0.5, 0.5)) for c in pairs(50)], QUICK, np.random.default_rng(0))
    assert math.isnan(report.accuracy)
    assert report.loss == pytest.approx(math.log(2), abs=0.05)


# ---- the input normalizer --------------------------------------------------------------------------------------------


def test_inputs_are_normalized_by_what_was_compared() -> None:
    net = perceptrons(1).net
    short, long = clip([[1.0, 10.0, 5.0]]), clip([[3.0, 30.0, 5.0], [5.0, 50.0, 5.0]])
    batch = collate([short, long])
    net.eval()
    net(batch)
    assert int(net.batches) == 0  # type: ignore[arg-type]
    net.train()
    net(batch)
    assert net.mean.tolist() == pytest.approx([3.0, 30.0, 5.0, 0.0])  # type: ignore[union-attr]  # padding left out
    expected = [8 / 3, 800 / 3, 0.0, 0.0]
    assert net.variance.tolist() == pytest.approx(expected)  # type: ignore[union-attr]
    net(collate([clip([[7.0, 30.0, 5.0]])]))  # the second batch weighs 1/2
    assert net.mean.tolist() == pytest.approx([5.0, 30.0, 5.0, 0.0])  # type: ignore[union-attr]


def test_what_lies_far_outside_is_not_extrapolated() -> None:
    ensemble = perceptrons()
    fit(ensemble, pairs(20), QUICK, np.random.default_rng(0))
    far, farther = (collate([clip(np.full((1, 3), x))]) for x in (1e3, 1e6))
    torch.testing.assert_close(ensemble(far), ensemble(farther))


def test_padding_changes_no_reward() -> None:
    ensemble = perceptrons()
    fit(ensemble, pairs(20), QUICK, np.random.default_rng(0))
    short, long = clips(1, steps=3)[0], clips(1, steps=9, seed=1)[0]
    padded, plain = ensemble(collate([short, long]))[:, 0], ensemble(collate([short]))[:, 0]
    torch.testing.assert_close(padded[:, :3], plain, atol=1e-6, rtol=1e-5)
    assert padded[:, 3:].eq(0).all()


def test_numbered_actions_are_one_hot() -> None:
    net = MLPReward(obs_size=1, act_size=3, discrete=True, members=2, hidden=4, generator=torch.Generator())
    net.eval()
    rewards = net(collate([clip(np.zeros((3, 1)), act=np.arange(3))]))[:, 0]
    with torch.no_grad():
        hidden = [nn.functional.leaky_relu(net.w1[:, 1 + a] + net.b1[:, 0]) for a in range(3)]  # input is 0, then e_a
        by_hand = [nn.functional.leaky_relu(torch.einsum("eh,ehk->ek", h, net.w2) + net.b2[:, 0]) for h in hidden]
        expected = torch.cat([torch.einsum("eh,ehk->ek", h, net.w3) + net.b3[:, 0] for h in by_hand], dim=1)
    torch.testing.assert_close(rewards, expected, atol=1e-5, rtol=1e-4)


# ---- one step in so many ---------------------------------------------------------------------------------------------


def test_a_stride_changes_nothing_where_all_steps_of_a_segment_are_alike() -> None:
    """Segments of 5, 6 and 7 steps: the steps that are not read are taken to be like those that are."""
    still = [clip(np.repeat(s.obs[:1], 5 + i % 3, axis=0)) for i, s in enumerate(clips(20))]
    comparisons = [answered(pair) for pair in zip(still[::2], still[1::2], strict=True)]
    weights = []
    for stride in (1, 2, 3, 5):
        ensemble = RewardEnsemble(Linear(3), credit="each_step")
        # In one minibatch, so that a stride's draws cannot change the order of the comparisons.
        config = replace(QUICK, first_epochs=1, batch_size=100, stride=stride)
        fit(ensemble, comparisons, config, np.random.default_rng(0))
        weights.append(ensemble.net.weight.detach())
    for weight in weights[1:]:
        torch.testing.assert_close(weight, weights[0], atol=1e-6, rtol=1e-5)


def steps_read(comparisons: Sequence[Comparison], stride: int) -> list[list[float]]:
    """First numbers of what was observed at the steps that each minibatch of one comparison reads, sorted."""
    read = []

    class Spy(Linear):
        def forward(self, batch: SegmentBatch) -> Tensor:
            if self.training:
                read.append(sorted(batch.obs[batch.mask][:, 0].tolist()))
            return super().forward(batch)

    config = replace(QUICK, first_epochs=40, batch_size=1, stride=stride)
    fit(RewardEnsemble(Spy(1), credit="each_step"), comparisons, config, np.random.default_rng(0))
    return read


def test_a_minibatch_reads_one_step_in_so_many_from_one_drawn_by_lot() -> None:
    numbered = [clip(np.stack([np.arange(start, start + 5)] * 3, axis=1)) for start in (0, 10)]
    read = steps_read([Comparison(tuple(numbered), (1.0, 0.0))], 2)
    assert len(read) == 40
    assert {tuple(r) for r in read} == {(0, 2, 4, 10, 12, 14), (1, 3, 11, 13)}


def test_a_stride_is_at_most_the_shortest_segment() -> None:
    """Single steps have nothing to leave out, and every segment is read at each draw."""
    single = [clip(s.obs[:1]) for s in clips(4)]
    assert all(len(read) == 2 for read in steps_read([answered(single[:2]), answered(single[2:])], 4))
    mixed = [clip(np.arange(15.0).reshape(5, 3)), clip(np.full((2, 3), 100.0))]
    assert {tuple(r) for r in steps_read([Comparison(tuple(mixed), (1.0, 0.0))], 4)} == {
        (0, 6, 12, 100),
        (3, 9, 100),
    }


def test_the_reward_of_a_last_step_knows_no_stride() -> None:
    weights = []
    for stride in (1, 3):
        ensemble = RewardEnsemble(Linear(3), credit="last_step")
        fit(ensemble, pairs(20), replace(QUICK, stride=stride), np.random.default_rng(0))
        weights.append(ensemble.net.weight)
    assert torch.equal(*weights)


def test_accuracy_is_of_what_is_held_out() -> None:
    comparisons = pairs(40)
    outside = bag_counts([query_id([s.id for s in c.options]) for c in comparisons], 1)[:, 0] == 0
    for flip, accuracy in ((outside, 0.0), (~outside, 1.0)):
        ens = RewardEnsemble(Linear(1), credit="each_step")
        with torch.no_grad():
            ens.net.weight.copy_(torch.tensor(WEIGHTS)[None])
        told = [replace(c, mu=c.mu[::-1]) if f else c for c, f in zip(comparisons, flip, strict=True)]
        report = fit(ens, told, FitConfig(first_epochs=1, learning_rate=0.0), np.random.default_rng(0))
        assert report.accuracy == accuracy
        assert (report.calibration_error > 0.5) == (accuracy == 0.0)


def test_the_step_size_follows_its_schedule() -> None:
    """Where nothing is learned weights only decay, by 1 - step size: .05, .1, .1, .055 with a warmup of two of four."""
    ens = RewardEnsemble(Linear(2), credit="each_step")
    before = ens.net.weight.detach().clone()
    nothing = [Comparison((clip(np.zeros((i, 3))), clip(np.zeros((i + 1, 3)))), (1.0, 0.0)) for i in range(1, 5)]
    config = FitConfig(first_epochs=4, learning_rate=0.1, weight_decay=1.0, adaptation=1.0, warmup=0.5)
    fit(ens, nothing, config, np.random.default_rng(0))
    shrunk = (1 - 0.05) * (1 - 0.1) * (1 - 0.1) * (1 - 0.055)
    torch.testing.assert_close(ens.net.weight, before * shrunk)


def test_the_schedule() -> None:
    """Of 100 updates 10 rise; then a cosine from 1 to .1, half way at .55."""
    assert [cosine_schedule(u, 100, 0.1) for u in (0, 4, 9, 10, 55, 100)] == pytest.approx([0.1, 0.5, 1, 1, 0.55, 0.1])


def test_a_fit_can_measure_by_a_part_of_the_comparisons() -> None:
    """It learns the same; a part that is all of them measures the same; a smaller one calibrates on its own options."""
    comparisons = [*pairs(30), *from_ranking(clips(4, seed=9), (0, 1, 2, 3))]
    fits = {}
    for measured in (None, 31, 8):
        ensemble = perceptrons()
        report = fit(ensemble, comparisons, replace(QUICK, measured=measured), np.random.default_rng(0))
        fits[measured] = ensemble, report
    (whole, report), (same_again, same_report), (part, part_report) = fits.values()
    assert same(whole, same_again)
    assert replace(report, seconds=0.0) == replace(same_report, seconds=0.0)
    weights = (dict(ensemble.net.named_parameters()) for ensemble in (whole, part))
    assert all(torch.equal(a, b) for a, b in zip(*(w.values() for w in weights), strict=True))
    assert not torch.equal(whole.shift, part.shift)
    assert 0.0 <= part_report.accuracy <= 1.0
    assert part_report.loss != report.loss


def test_a_fit_can_be_stopped_at_every_minibatch() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(perceptrons(), pairs(16), QUICK, np.random.default_rng(0), check=check)  # three passes of two minibatches
    assert len(calls) == 4
    calls += [1]
    fit(perceptrons(), pairs(16), QUICK, np.random.default_rng(0), check=check)
    assert len(calls) == 5 + 6
