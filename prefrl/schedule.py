"""How many queries to ask in each round: many before any learning, then ever fewer."""

import math

import numpy as np

from prefrl.errors import require


def label_plan(
    labels: int, steps: int, steps_per_round: int, *, upfront: float = 0.25, horizon: float = 2e6
) -> list[int]:
    """The number of queries of each of the ceil(steps / steps_per_round) rounds; together exactly `labels`.

    Round 0 asks the share `upfront` before any learning; round r > 0 asks at T = r * steps_per_round steps, at a rate
    proportional to horizon / (T + horizon), so that all that were asked by then grow as ln(1 + T / horizon). A plan of
    one round asks everything up front. The defaults are those of Christiano et al. 2017, appendix A.1, for MuJoCo
    (Atari: horizon 5e6). Raises PrefrlError unless all numbers are positive and `upfront` is a share.
    """
    for name, value in (("labels", labels), ("steps", steps), ("steps per round", steps_per_round)):
        require(value >= 1, name, "at least 1", value)
    require(0 <= upfront <= 1, "the share of labels asked up front", "between 0 and 1", upfront)
    require(0 < horizon < math.inf, "the horizon of the label schedule in steps", "above 0 and finite", horizon)
    rounds = -(-steps // steps_per_round)
    if rounds == 1:
        return [labels]
    first = math.floor(labels * upfront + 0.5)
    grown = np.log1p(np.arange(rounds) * (steps_per_round / horizon))
    # Rounding the running total, not each round, keeps the sum exact and every round within 1 of its due.
    total = first + np.floor((labels - first) * (grown / grown[-1]) + 0.5).astype(np.int64)
    return [first, *np.diff(total).tolist()]
