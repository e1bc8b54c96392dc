"""Fit the reward ensemble to comparisons: bootstrap, out-of-bag validation, adaptive weight decay."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from prefrl.choice import choice_correct, choice_loss
from prefrl.comparisons import Comparison, collate_answers, distinct_options, query_id
from prefrl.ensemble import RewardEnsemble
from prefrl.errors import PrefrlError, require
from prefrl.measuring import reliability, share_of_first
from prefrl.segments import Segment, SegmentBatch, collate, thinned

# Christiano et al. 2017, section 2.2.3: the l2 coefficient keeps validation loss between these times training loss.
RATIO_LOW, RATIO_HIGH = 1.1, 1.5
# The upper bound matters: few comparisons at first drive the coefficient up, and inside the band nothing drives it down
# again. Up to 30, reacher's reward stayed too smooth: a return of -5.6, with 3 of -2.8 (one seed).
WEIGHT_DECAY_RANGE = (1e-4, 3.0)


@dataclass(frozen=True)
class FitConfig:
    """How the reward ensemble is fitted."""

    first_epochs: int = 100
    """Passes over the comparisons in the first fit, from scratch."""
    updates: int = 30
    """Minibatches of each later fit, which goes on from the weights of the one before."""
    batch_size: int = 64
    """Comparisons in a minibatch."""
    learning_rate: float = 1e-3
    """Adam's step size, or its highest one with a warmup."""
    warmup: float | None = None
    """Share of a fit's minibatches over which the step size rises; then it falls (`cosine_schedule`). None: never."""
    noise: float = 0.1
    """Share of answers taken to be uniformly random."""
    newest: int | None = None
    """Fit only the newest so many comparisons, or rankings: the paper's 3,000 in Atari. None: all."""
    stride: int = 1
    """A minibatch reads one step in so many of its segments, from one drawn by lot, and takes the others to be like
    those: where steps overlap, as stacks of frames do, they tell little more. No more than the shortest segment has."""
    measured: int | None = None
    """Comparisons, or rankings, that the end of a fit calibrates on and measures by, drawn by lot; None: all."""
    loss: Literal["choice", "squared_error"] = "choice"
    """Fit the answers by the model of a noisy choice; or what the labeler told of each option's return by its squared
    error: the ablation `target` of Christiano et al. 2017, section 3.3."""
    weight_decay: float = 0.1
    """Weight decay at first; it is then adapted. 0: none, ever."""
    adaptation: float = 1.1
    """Factor by which weight decay changes after a pass whose losses are out of proportion."""

    def __post_init__(self) -> None:
        rate = self.learning_rate
        require(self.first_epochs >= 1, "passes of the first fit", "at least 1", self.first_epochs)
        require(self.batch_size >= 1, "comparisons in a minibatch of a fit", "at least 1", self.batch_size)
        require(self.stride >= 1, "the stride of a fit", "at least 1", self.stride)
        require(0 <= rate < math.inf, "the step size of a fit", "at least 0 and finite", rate)
        require(0 <= self.noise < 1, "the share of random answers (noise)", "at least 0 and below 1", self.noise)


@dataclass(frozen=True)
class FitReport:
    """What came of a fit. Losses are nats per comparison, or squared errors; NaN where nothing could be measured."""

    comparisons: int
    loss: float  # on the comparisons in the members' bags
    validation_loss: float  # on those outside
    accuracy: float  # share of decided comparisons outside the bags that members predict
    calibration_error: float  # how far their confidence is from that (`measuring.reliability`)
    weight_decay: float
    seconds: float

    @property
    def metrics(self) -> dict[str, float]:
        """For the log."""
        return {
            "reward_loss": self.loss,
            "reward_validation_loss": self.validation_loss,
            "reward_accuracy": self.accuracy,
            "reward_calibration_error": self.calibration_error,
            "weight_decay": self.weight_decay,
            "seconds_fitting": self.seconds,
        }


def bag_counts(ids: Sequence[str], members: int) -> np.ndarray:
    """[N, E] how often each member's bootstrap sample holds each comparison.

    Poisson(1), the limit of drawing N of N with replacement (Oza and Russell 2001), so 1/e of the comparisons are
    outside of each bag. The draw is a hash of the comparison's id: it never changes as others arrive, and what was
    once held out from a member stays held out.
    """
    digests = b"".join(hashlib.shake_128(i.encode()).digest(8 * members) for i in ids)
    chance = np.frombuffer(digests, "<u8").reshape(len(ids), members) / 2.0**64
    cumulative = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(12)])
    return np.searchsorted(cumulative, chance, side="right")


def adapt_weight_decay(weight_decay: float, ratio: float, factor: float) -> float:
    """More decay if validation / training loss exceeds 1.5, less below 1.1 (Christiano et al. 2017, section 2.2.3)."""
    if ratio > RATIO_HIGH:
        weight_decay *= factor
    elif ratio < RATIO_LOW:
        weight_decay /= factor
    return min(max(weight_decay, WEIGHT_DECAY_RANGE[0]), WEIGHT_DECAY_RANGE[1])


def standardized(returns: Tensor, steps: Tensor) -> Tensor:
    """Returns [B] of segments with `steps` [B] credited steps, put on the scale on which reward functions are fitted.

    (R - n m) / s, with m the mean reward of a step and s the root mean square of R - n m, so that what is fitted is the
    reward shifted and scaled by the same numbers at every step, however long the segments are.
    """
    centered = returns - steps * (returns.sum() / steps.sum())
    scale = centered.square().mean().sqrt()
    return centered / scale if scale > 0 else centered


def squared_error(returns: Tensor, told: Tensor, exists: Tensor) -> Tensor:
    """Mean over the options that exist of (returns - told)^2: [..., K], [..., K], [..., K] bool -> [...]."""
    return (returns - told).square().masked_fill(~exists, 0.0).sum(dim=-1) / exists.sum(dim=-1)


def fit(
    ensemble: RewardEnsemble,
    comparisons: Sequence[Comparison],
    config: FitConfig,
    rng: np.random.Generator,
    *,
    check: Callable[[], None] = lambda: None,
) -> FitReport:
    """Fit all members at once, each to its own bootstrap sample; ends calibrated on the segments that were asked about.

    Minibatches are shared and weighted by how often each member's bag holds a comparison, so that one forward pass
    serves all members, and those outside a bag give its validation loss for nothing. The parts of one ranking stay in
    one minibatch and one bag and weigh as one comparison, so that each option is scored once. No comparisons: nothing
    changes. The chance of its networks (dropout) derives from `rng`, too. `check` is called at every minibatch and may
    raise Interrupted, which leaves the ensemble half fitted. Raises PrefrlError if returns are to be fitted that no
    labeler told.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.spawn(1)[0].integers(2**63)))  # a child: `rng` itself goes on as it was
        return _fit(ensemble, comparisons, config, rng, check)


def _fit(
    ensemble: RewardEnsemble,
    comparisons: Sequence[Comparison],
    config: FitConfig,
    rng: np.random.Generator,
    check: Callable[[], None],
) -> FitReport:
    started = time.perf_counter()
    if not comparisons:
        return FitReport(0, math.nan, math.nan, math.nan, math.nan, float(ensemble.weight_decay), 0.0)
    if config.newest is not None:
        comparisons = newest(comparisons, config.newest)
    answers = _answers(ensemble, comparisons, config)
    ensemble.train()
    _descend(ensemble, answers, config, rng, check)
    ensemble.eval()
    loss, validation_loss, accuracy, calibration_error = _calibrate(ensemble, answers, config, rng)
    return FitReport(
        comparisons=len(comparisons),
        loss=loss,
        validation_loss=validation_loss,
        accuracy=accuracy,
        calibration_error=calibration_error,
        weight_decay=float(ensemble.weight_decay),
        seconds=time.perf_counter() - started,
    )


class _Segments:
    """What was asked about, some of it at a time as a batch.

    Vectors are collated once. Pictures are when they are wanted: all together would be a copy of a gigabyte.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._each = segments
        self._all = collate(segments) if segments[0].obs.ndim <= 2 else None
        self.lengths = torch.tensor([len(segment) for segment in segments])  # [B]

    def __getitem__(self, rows: Tensor) -> SegmentBatch:
        return collate([self._each[row] for row in rows.tolist()]) if self._all is None else self._all[rows]


@dataclass(frozen=True, eq=False)
class _Answers:
    """What is fitted: N comparisons, of up to K of B segments, in G groups, each a ranking or a comparison alone."""

    segments: _Segments  # [B]
    places: Tensor  # [N, K]  of each option among the segments; what is no option has its question's first, and no say
    exists: Tensor  # [N, K]  bool
    mu: Tensor  # [N, K]
    told: Tensor | None  # [N, K]  returns, where these are fitted
    noise: float
    groups: Tensor  # [G, most]  comparisons of each, -1 where it has fewer
    share: Tensor  # [N]  of each comparison in its group
    bags: Tensor  # [E, N]  how often each member's bag holds each comparison

    def of_groups(self, groups: Tensor) -> Tensor:
        """[n] the comparisons of some groups."""
        rows = self.groups[groups].flatten()
        return rows[rows >= 0]

    def losses(self, returns: Tensor, rows: Tensor) -> Tensor:
        """[E, n] from returns [E, n, K] of the comparisons `rows` [n]."""
        if self.told is not None:
            return squared_error(returns, self.told[rows], self.exists[rows])
        return choice_loss(self.existing(returns, rows), self.mu[rows], noise=self.noise)

    def existing(self, returns: Tensor, rows: Tensor) -> Tensor:
        """The returns, -inf where there is no option."""
        return returns.masked_fill(~self.exists[rows], -math.inf)


def _answers(ensemble: RewardEnsemble, comparisons: Sequence[Comparison], config: FitConfig) -> _Answers:
    distinct, places = distinct_options([comparison.options for comparison in comparisons])
    segments = _Segments(distinct)
    exists = places >= 0
    places = torch.where(exists, places, places[:, :1])
    told = None
    if config.loss == "squared_error":
        steps = segments.lengths if ensemble.credit == "each_step" else torch.ones_like(segments.lengths)
        told = standardized(_told(comparisons, places[exists]), steps)[places]
    ids = [comparison.ranking or query_id([s.id for s in comparison.options]) for comparison in comparisons]
    groups, share = _groups([comparison.ranking for comparison in comparisons])
    return _Answers(
        segments=segments,
        places=places,
        exists=exists,
        mu=collate_answers(comparisons),
        told=told,
        noise=config.noise,
        groups=groups,
        share=share,
        bags=torch.from_numpy(bag_counts(ids, ensemble.members).T.astype(np.float32)),
    )


def _descend(
    ensemble: RewardEnsemble,
    answers: _Answers,
    config: FitConfig,
    rng: np.random.Generator,
    check: Callable[[], None],
) -> None:
    """All minibatches of a fit; weight decay is adapted after each pass."""
    stride = 1 if ensemble.credit == "last_step" else min(config.stride, int(answers.segments.lengths.min()))
    total = config.updates
    if not bool(ensemble.fitted):
        total = config.first_epochs * math.ceil(len(answers.groups) / config.batch_size)
        ensemble.weight_decay.fill_(config.weight_decay)
    optimizer = torch.optim.AdamW(ensemble.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    left = total
    while left > 0:
        order = torch.from_numpy(rng.permutation(len(answers.groups)))
        sums = torch.zeros(2, 2)  # (inside, outside the bags) x (loss, count)
        for drawn in torch.split(order, config.batch_size)[:left]:
            check()
            rows = answers.of_groups(drawn)
            options, at = torch.unique(answers.places[rows], return_inverse=True)
            returns = _estimated(ensemble, answers.segments[options], stride, rng)[:, at]  # [E, b, K]
            losses = answers.losses(returns, rows)  # [E, b]
            bags, share = answers.bags[:, rows], answers.share[rows]
            optimizer.param_groups[0]["weight_decay"] = float(ensemble.weight_decay)
            if config.warmup is not None:
                share_of_step = cosine_schedule(total - left, total, config.warmup)
                optimizer.param_groups[0]["lr"] = config.learning_rate * share_of_step
            optimizer.zero_grad()
            torch.autograd.backward((bags * share * losses).sum() / len(drawn))
            optimizer.step()
            sums += _inside_outside(losses.detach(), bags, share)
            left -= 1
        if config.weight_decay > 0:
            decay = adapt_weight_decay(float(ensemble.weight_decay), _ratio(sums), config.adaptation)
            ensemble.weight_decay.fill_(decay)


def _calibrate(
    ensemble: RewardEnsemble, answers: _Answers, config: FitConfig, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Calibrate on what was asked about, or on a part of it, and measure by that part what a FitReport tells.

    Loss, validation loss, accuracy and calibration error.
    """
    rows = torch.arange(len(answers.places))
    if config.measured is not None and config.measured < len(answers.groups):
        rows = answers.of_groups(torch.from_numpy(rng.permutation(len(answers.groups))[: config.measured]))
    options, at = torch.unique(answers.places[rows], return_inverse=True)
    returns = ensemble.calibrate(answers.segments[options])[:, at]
    bags, mu = answers.bags[:, rows], answers.mu[rows]
    sums = _inside_outside(answers.losses(returns, rows), bags, answers.share[rows])
    (loss, inside), (validation_loss, outside) = sums.tolist()
    outside_bags = bags == 0
    correct = choice_correct(answers.existing(returns, rows), mu.expand_as(returns))[outside_bags]
    calibration_error = math.nan
    if answers.told is None:
        preferred = torch.sigmoid(returns[..., 0] - returns[..., 1])[outside_bags]
        answered = torch.from_numpy(share_of_first(mu.numpy())).expand_as(bags)[outside_bags]
        calibration_error = reliability(preferred.numpy(), answered.numpy())[1]
    return (
        loss / inside if inside else math.nan,
        validation_loss / outside if outside else math.nan,
        float(correct.nanmean()),
        calibration_error,
    )


def _estimated(ensemble: RewardEnsemble, batch: SegmentBatch, stride: int, rng: np.random.Generator) -> Tensor:
    """[E, B] returns of a batch from one step in `stride`, as if the others were like those."""
    if stride == 1:
        return ensemble.returns(batch)
    read, steps = thinned(batch, stride, int(rng.integers(stride)))
    return ensemble.returns(read) * steps


def newest(comparisons: Sequence[Comparison], n: int) -> list[Comparison]:
    """The last n comparisons; all parts of a ranking count as one, and stay together."""
    names = [comparison.ranking or str(row) for row, comparison in enumerate(comparisons)]
    kept = set(list(dict.fromkeys(reversed(names)))[:n])
    return [comparison for name, comparison in zip(names, comparisons, strict=True) if name in kept]


def cosine_schedule(update: int, total: int, warmup: float) -> float:
    """Share of the highest step size: a linear rise, then a cosine from 1 to .1 (InstructGPT, appendix C)."""
    rise = max(1, round(warmup * total))
    if update < rise:
        return (update + 1) / rise
    progress = (update - rise) / max(1, total - rise)
    return 0.1 + 0.45 * (1.0 + math.cos(math.pi * progress))


def _told(comparisons: Sequence[Comparison], places: Tensor) -> Tensor:
    """[B] what labelers told of the returns of all options, whose places among the B segments are given in one row."""
    returns: list[float] = []
    for comparison in comparisons:
        if comparison.returns is None:
            raise PrefrlError(
                "an answer tells no returns, so none can be fitted: let an oracle answer that tells them "
                "(Oracle(tells_returns=True)), or fit the answers"
            )
        returns += comparison.returns
    return torch.zeros(int(places.max()) + 1).index_put((places,), torch.tensor(returns))


def _groups(rankings: Sequence[str]) -> tuple[Tensor, Tensor]:
    """[G, most] places of each ranking's parts, -1 where it has fewer, and [N] each one's share in its ranking.

    A comparison without a ranking is a group of its own.
    """
    rows: dict[str | int, list[int]] = {}
    for row, name in enumerate(rankings):
        rows.setdefault(name or row, []).append(row)
    groups = torch.full((len(rows), max(map(len, rows.values()))), -1)
    share = torch.empty(len(rankings))
    for group, members in zip(groups, rows.values(), strict=True):
        group[: len(members)] = torch.tensor(members)
        share[members] = 1.0 / len(members)
    return groups, share


def _inside_outside(losses: Tensor, bags: Tensor, share: Tensor) -> Tensor:
    """[2, 2] sums of losses [E, N] and their weight: first inside the bags, then outside; a mean is their quotient.

    `bags` [E, N] says how often each member's bag holds a comparison, `share` [N] how much of a ranking it is.
    """
    inside, outside = bags * share, (bags == 0) * share
    return torch.tensor(
        [[(losses * inside).sum(), inside.sum()], [(losses * outside).sum(), outside.sum()]], dtype=losses.dtype
    )


def _ratio(sums: Tensor) -> float:
    """Validation over training loss, of means per comparison; between the bounds where one cannot be measured."""
    (train, inside), (validation, outside) = sums.tolist()
    if not inside or not outside or train == 0:
        return (RATIO_LOW + RATIO_HIGH) / 2
    return float((validation / outside) / (train / inside))
