"""Segments, queries and stores that several tests share."""

from pathlib import Path

import numpy as np

from prefrl.comparisons import Query
from prefrl.segments import Segment, View
from prefrl.store import PreferenceStore


def segment(number: float, *, true_reward: float | None = None, view: View | None = None) -> Segment:
    """Two steps of which the first observation tells one segment from another."""
    return Segment(
        obs=np.array([[number, 0.0], [1.0, 2.0]], np.float32),
        act=np.array([0, 1]),
        context=np.zeros((0, 2), np.float32),
        true_reward=None if true_reward is None else np.array([0.0, true_reward]),
        view=view,
    )


def query(*numbers: float) -> Query:
    return Query(tuple(segment(number) for number in numbers))


def numbers(options: tuple[Segment, ...]) -> tuple[float, ...]:
    return tuple(float(option.obs[0, 0]) for option in options)


def filled(path: Path, queries: int = 40) -> Path:
    with PreferenceStore(path) as store:
        asked = [query(2 * i, 2 * i + 1) for i in range(queries)]
        store.ask(asked)
        store.answer_all([(q, (1, 0)) for q in asked], labeler="ann")
    return path
