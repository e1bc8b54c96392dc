"""Cut what happened in the environments into clips."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from prefrl.control.tasks import Task
from prefrl.control.vector import Record
from prefrl.segments import Replay, Segment, SegmentBatch, SimulatorStates, View


class Span(NamedTuple):
    """Steps of one environment, from `start` to before `stop`."""

    env: int
    start: int
    stop: int


def cut(record: Record, task: Task, rng: np.random.Generator, *, most: int) -> list[Segment]:
    """At most `most` clips of up to `task.clip_steps` steps without overlap, chosen at random; copies of the record."""
    return [clip(record, task, span) for span in spans(record, task.clip_steps, rng, most=most)]


def spans(record: Record, steps: int, rng: np.random.Generator, *, most: int) -> list[Span]:
    """Where to cut at most `most` clips of that many steps or fewer, which do not overlap, chosen at random.

    Within an episode clips begin at a random offset. Where one ended by itself its last clip is cut short there, to a
    quarter at least, so that how it ended is seen; an episode shorter than a clip is a clip of its own. Only clips of
    different lengths tell what a step more is worth: where all are equally long, any constant can be added to a reward.
    """
    pieces = [piece for episode in _episodes(record) for piece in _pieces(record, episode, steps, rng)]
    if len(pieces) > most:
        pieces = [pieces[i] for i in sorted(rng.choice(len(pieces), most, replace=False))]
    return pieces


def _episodes(record: Record) -> Iterator[Span]:
    """Each episode, or the part of it that was recorded."""
    for env in range(record.first.shape[1] if len(record) > 0 else 0):
        starts = [0, *(i for i in np.flatnonzero(record.first[:, env]).tolist() if i > 0)]
        for start, stop in zip(starts, [*starts[1:], len(record)], strict=True):
            yield Span(env, start, stop)


def _pieces(record: Record, episode: Span, steps: int, rng: np.random.Generator) -> list[Span]:
    env, start, stop = episode
    by_itself = bool(record.terminated[stop - 1, env])
    whole = by_itself and bool(record.first[start, env])
    if stop - start < steps:
        return [episode] if whole else []
    if by_itself:
        last = int(rng.integers(max(1, steps // 4), steps + 1))
        starts = range(start + (stop - start - last) % steps, stop, steps)
    else:
        starts = range(start + int(rng.integers((stop - start) % steps + 1)), stop - steps + 1, steps)
    return [Span(env, i, min(i + steps, stop)) for i in starts]


def clip(record: Record, task: Task, span: Span) -> Segment:
    """A copy of what happened there, with what is needed to show it."""
    env, start, stop = span
    obs = record.obs[start:stop, env]
    view: View | None = None
    if record.states is not None:
        view = SimulatorStates(task.env_id, record.states[start:stop, env].astype(np.float32), task.clip_fps)
    elif record.origins is not None and record.first[: start + 1, env].any():
        begin = int(np.flatnonzero(record.first[: start + 1, env])[-1])
        origin, act = record.origins[begin, env], record.act[begin:stop, env].copy()
        view = Replay(task.env_id, origin, act, start - begin, obs[0].copy(), task.clip_fps)
    elif record.games is not None:
        view = record.games.view(env, record.begin + start, record.begin + stop, obs[0, -1])
    return Segment(
        obs=obs,
        act=record.act[start:stop, env],
        context=np.zeros((0, *obs.shape[1:]), obs.dtype),
        true_reward=record.oracle_reward[start:stop, env],
        view=view,
    )


def as_batch(record: Record) -> SegmentBatch:
    """Each environment's whole record as one segment, [n, L]: how the learned reward scores a rollout at once."""
    steps, envs = record.true_reward.shape
    none = torch.zeros((envs, 0), dtype=torch.bool)
    obs = torch.from_numpy(record.obs.swapaxes(0, 1))
    return SegmentBatch(
        obs=obs,
        act=torch.from_numpy(record.act.swapaxes(0, 1)),
        mask=torch.ones((envs, steps), dtype=torch.bool),
        context=obs[:, :0],
        context_mask=none,
    )


def transitions(obs: np.ndarray, act: np.ndarray) -> SegmentBatch:
    """Steps [n, *obs] and [n, *act] as n segments of one step each."""
    seen = torch.from_numpy(obs)[:, None]
    mask = torch.ones(seen.shape[:2], dtype=torch.bool)
    return SegmentBatch(seen, torch.from_numpy(act)[:, None], mask, seen[:, :0], mask[:, :0])
