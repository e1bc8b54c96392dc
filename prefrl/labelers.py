"""Who answers: an oracle that knows the true reward, or people at the store. The trainer cannot tell which."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from prefrl.comparisons import Judgment, Query, Ranking, reordered
from prefrl.errors import PrefrlError, require
from prefrl.segments import Segment
from prefrl.store import PreferenceStore

_POLL_SECONDS = 0.5
_SAY_SECONDS = 60.0
_BEAT_SECONDS = 5.0


class Labeler(Protocol):
    """Answers some or all of what is pending in the store, then returns."""

    def attend(self, store: PreferenceStore) -> None: ...


@dataclass(frozen=True)
class Oracle:
    """Answers by the true reward; as it stands without error, otherwise as one of B-Pref's irrational teachers.

    The option of the highest true return is best, and exact ties share the answer evenly (Christiano et al. 2017,
    section 2.2.3: a tie is .5, .5). More than two options are ranked, which says more than which is best. The settings
    are those of Lee et al. 2021 (B-Pref), section 4, and add up: see `irrational_choice` and `irrational_choices`.
    `skip` and `equal` are shares of the margin, the mean true return of the distinct segments that
    are pending; B-Pref computes that as mean episode return * segment length / episode length. Each is multiplied with
    the margin once, and for a negative one, which B-Pref's rewards do not have, see `thresholds`. The randomness of an
    answer depends on `seed` and on the query alone, never on the order of queries or options, nor on an interruption.
    """

    seed: int
    beta: float = math.inf  # rationality: options are chosen by softmax(beta * return); inf always takes the best
    gamma: float = 1.0  # below 1 the oracle is myopic: the last steps of a segment weigh more
    mistake: float = 0.0  # chance to answer another option
    skip: float = 0.0  # cannot tell if no option returns this share of the margin
    equal: float = 0.0  # options this close to the best, as a share of the margin, are equally good
    tells_returns: bool = False  # each option's, beside the answer (Christiano et al. 2017, section 3.3, "target")

    def __post_init__(self) -> None:
        for name, good, rule in (
            ("seed", self.seed >= 0, "at least 0"),
            ("beta", self.beta > 0, "above 0"),
            ("gamma", 0 < self.gamma <= 1, "above 0 and at most 1"),
            ("mistake", 0 <= self.mistake <= 1, "between 0 and 1"),
            ("skip", 0 <= self.skip < math.inf, "at least 0"),
            ("equal", 0 <= self.equal < math.inf, "at least 0"),
        ):
            require(good, f"{name} of an oracle", rule, getattr(self, name))

    @property
    def name(self) -> str:
        """Who signs the answers: `oracle`, or with the settings that differ from it, `oracle:beta=1,mistake=0.1`."""
        changed = [
            f"{field.name}={getattr(self, field.name):g}"
            for field in fields(self)
            if field.name != "seed" and getattr(self, field.name) != field.default
        ]
        return ":".join(["oracle", ",".join(changed)]) if changed else "oracle"

    def attend(self, store: PreferenceStore) -> None:
        """Answer all that is pending, in one transaction. Raises PrefrlError for segments without true reward."""
        queries = store.pending()
        if not queries:
            return
        margin = mean_return([option for query in queries for option in query.options])
        # JSON has no infinity.
        settings = {field.name: getattr(self, field.name) for field in fields(self)} | {"margin": margin}
        settings = {key: "inf" if value == math.inf else value for key, value in settings.items()}
        del settings["tells_returns"]  # that it does is seen from what it tells
        provenance = [settings | self._told(query) for query in queries] if self.tells_returns else settings
        judged = [(query, self.judge(query, margin)) for query in queries]
        store.answer_all(judged, labeler=self.name, provenance=provenance)

    def _told(self, query: Query) -> dict[str, Any]:
        """Each option's true return, as `PreferenceStore.answer_all` takes it."""
        return {"returns": {option.id: teacher_return(true_reward(option), 1.0) for option in query.options}}

    def judge(self, query: Query, margin: float) -> Judgment:
        """The answer to one query, in the order of its options: weights of two, a ranking of more, or "cannot tell"."""
        options = sorted(query.options, key=lambda option: option.id)
        rewards = [true_reward(option) for option in options]
        skip_below, equal_within = thresholds(margin, skip=self.skip, equal=self.equal)
        nested = irrational_choices(
            np.array([teacher_return(reward, 1.0) for reward in rewards]),
            np.array([teacher_return(reward, self.gamma) for reward in rewards]),
            beta=self.beta,
            mistake=self.mistake,
            skip_below=skip_below,
            equal_within=equal_within,
            rng=np.random.default_rng([self.seed, int(query.id, 16)]),
        )
        if nested is None:
            return None
        judgment = nested[0] if len(options) == 2 else Ranking(ranks_of(nested, len(options)))
        ids = [option.id for option in options]
        return reordered(judgment, ids, [option.id for option in query.options])


def true_reward(segment: Segment) -> np.ndarray:
    """[T]. Raises PrefrlError if the segment has none."""
    if segment.true_reward is None:
        raise PrefrlError(
            f"segment {segment.id} has no true reward, so no oracle can judge it; let people or a model label"
        )
    return segment.true_reward


def mean_return(segments: Sequence[Segment]) -> float:
    """Mean true return of the distinct ones among `segments`."""
    distinct = {segment.id: segment for segment in segments}.values()
    return float(np.mean([teacher_return(true_reward(segment), 1.0) for segment in distinct]))


def teacher_return(rewards: np.ndarray, gamma: float) -> float:
    """sum_t gamma^(T - 1 - t) r_t of [T] rewards, which discounts the past (Lee et al. 2021, equation 4)."""
    weights = gamma ** np.arange(len(rewards) - 1, -1, -1, dtype=np.float64)
    return math.fsum((weights * rewards).tolist())  # rounded once, so that equal rewards in another order still tie


def thresholds(margin: float, *, skip: float, equal: float) -> tuple[float, float]:
    """The return below which nothing can be told, and the difference below which returns are equal.

    skip * margin and equal * margin (Lee et al. 2021, section 4); of a negative margin (2 - skip) * margin, which is as
    far below it, and equal * |margin|. `skip` 0 skips nothing.
    """
    skip_below = margin * (skip if margin >= 0 else 2.0 - skip)
    return skip_below if skip > 0 else -math.inf, equal * abs(margin)


def irrational_choice(
    returns: np.ndarray,
    judged: np.ndarray,
    *,
    beta: float,
    mistake: float,
    skip_below: float,
    equal_within: float,
    rng: np.random.Generator,
) -> tuple[float, ...] | None:
    """How B-Pref's teachers answer (Lee et al. 2021, section 4, in the order of their code), for K options at once.

    Returns [K] decide what is skipped or equal; the myopic returns `judged` [K] decide what is best. In this order:
    None if every return lies below `skip_below`; several options less than `equal_within` below the highest return
    share the answer evenly; otherwise one is chosen by softmax(beta * judged), for infinite beta the best, where exact
    ties share evenly; with the chance `mistake` one of those not chosen is answered instead.
    """
    if returns.max() < skip_below:
        return None
    equal = returns.max() - returns < equal_within
    if equal.sum() > 1:
        return _evenly(equal)
    if math.isinf(beta):
        chosen = judged == judged.max()
    else:
        weights = np.exp(beta * (judged - judged.max()))
        chosen = np.arange(len(judged)) == rng.choice(len(judged), p=weights / weights.sum())
    others = np.flatnonzero(~chosen)
    if len(others) > 0 and rng.random() < mistake:
        chosen = np.arange(len(judged)) == rng.choice(others)
    return _evenly(chosen)


def irrational_choices(
    returns: np.ndarray,
    judged: np.ndarray,
    *,
    beta: float,
    mistake: float,
    skip_below: float,
    equal_within: float,
    rng: np.random.Generator,
) -> list[tuple[float, ...]] | None:
    """How such a teacher ranks K options: again and again the best of those that remain, as `irrational_choice`.

    With `beta` that draws from the Plackett-Luce model. Returns each choice as weights [K], 0 for those who are gone,
    until at most one remains; of two options that is `irrational_choice`. None if every return is below `skip_below`.
    """
    left = np.arange(len(returns))
    nested: list[tuple[float, ...]] = []
    while len(left) > 1:
        chosen = irrational_choice(
            returns[left],
            judged[left],
            beta=beta,
            mistake=mistake,
            skip_below=-math.inf if nested else skip_below,
            equal_within=equal_within,
            rng=rng,
        )
        if chosen is None:
            return None
        weights = np.zeros(len(returns))
        weights[left] = chosen
        nested.append(tuple(weights.tolist()))
        left = left[weights[left] == 0]
    return nested


def ranks_of(nested: Sequence[Sequence[float]], options: int) -> tuple[int, ...]:
    """[K] the places that nested choices give: 0 to those chosen first, the last place to one that never is."""
    ranks = [len(nested)] * options
    for place, weights in enumerate(nested):
        for i, weight in enumerate(weights):
            if weight > 0:
                ranks[i] = place
    return tuple(ranks)


def _evenly(among: np.ndarray) -> tuple[float, ...]:
    return tuple((among / among.sum()).tolist())


@dataclass(frozen=True)
class People:
    """Waits until people have answered at the store, from whatever process, and says what it waits for.

    `when_short` says for how long: `block` until every query has an answer; `throttle` until no more than a quarter of
    all that was ever asked lack one; `continue` only until there is a first answer. What is answered later counts from
    the next round on; how a run goes then depends on when it was answered.
    """

    command: str  # opens the labeling window
    pause: Callable[[float], None]  # waits for that many seconds; may raise Interrupted to stop
    say: Callable[[str], None]
    when_short: Literal["block", "throttle", "continue"] = "block"

    def _allowed(self, store: PreferenceStore) -> int:
        """How many answers may be missing."""
        if self.when_short == "continue":
            return store.asked - 1
        return store.asked // 4 if self.when_short == "throttle" else 0

    def attend(self, store: PreferenceStore) -> None:
        """Return when there are answers enough. Says how many are missing at once, at each change and each minute."""
        asked = store.asked - len(store)
        said, silent = 0, 0.0
        while (missing := store.asked - len(store)) > max(0, self._allowed(store)):
            asked = max(asked, missing)
            store.beat("waiting", every=_BEAT_SECONDS)
            if missing != said or silent >= _SAY_SECONDS:
                self.say(f"waiting for {missing} of {asked} answers; label them with: {self.command}")
                said, silent = missing, 0.0
            self.pause(_POLL_SECONDS)
            silent += _POLL_SECONDS


@dataclass(frozen=True)
class Recorded:
    """Answers that were given before, in another store: the first `labels` queries that somebody answered there.

    They are copied once, with their questions, so that the run goes on without the other store.
    """

    source: Path
    labels: int

    def attend(self, store: PreferenceStore) -> None:
        """Copy what is not there yet, in one transaction. Raises PrefrlError if there are too few answers."""
        if len(store) >= self.labels:
            return
        with PreferenceStore(self.source) as other:
            if (answered := len(other)) < self.labels:
                raise PrefrlError(f"{self.source} holds {answered} answers, {self.labels} are wanted: ask for fewer")
            store.merge(other, most=self.labels)
