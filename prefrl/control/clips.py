"""Cut what happened in the environments into clips."""

from collections.abc import Iterator

import numpy as np
import torch

from prefrl.control.tasks import CLIP_FPS, Task
from prefrl.control.vector import Record
from prefrl.segments import Replay, Segment, SegmentBatch, SimulatorStates, View


def cut(record: Record, task: Task, rng: np.random.Generator, *, most: int) -> list[Segment]:
    """At most `most` clips of `task.clip_steps` steps that do not overlap, chosen at random; copies of the record.

    Within an episode clips begin at a random offset, but an episode that ended by itself is cut from its end, so that
    how it ended is seen; one shorter than a clip is a clip of its own.
    """
    pieces = [piece for episode in _episodes(record) for piece in _pieces(record, episode, task.clip_steps, rng)]
    if len(pieces) > most:
        pieces = [pieces[i] for i in sorted(rng.choice(len(pieces), most, replace=False))]
    return [_segment(record, task, env, start, stop) for env, start, stop in pieces]


def _episodes(record: Record) -> Iterator[tuple[int, int, int]]:
    """(environment, first step, step after the last) of each episode, or of the part of it that was recorded."""
    for env in range(record.first.shape[1] if len(record) > 0 else 0):
        starts = [0, *(i for i in np.flatnonzero(record.first[:, env]).tolist() if i > 0)]
        for start, stop in zip(starts, [*starts[1:], len(record)], strict=True):
            yield env, start, stop


def _pieces(
    record: Record, episode: tuple[int, int, int], steps: int, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    env, start, stop = episode
    by_itself = bool(record.terminated[stop - 1, env])
    whole = by_itself and bool(record.first[start, env])
    if stop - start < steps:
        return [(env, start, stop)] if whole else []
    slack = (stop - start) % steps
    offset = slack if by_itself else int(rng.integers(slack + 1))
    return [(env, i, i + steps) for i in range(start + offset, stop - steps + 1, steps)]


def _segment(record: Record, task: Task, env: int, start: int, stop: int) -> Segment:
    obs = record.obs[start:stop, env]
    view: View | None = None
    if record.states is not None:
        view = SimulatorStates(task.env_id, record.states[start:stop, env].astype(np.float32), min(task.fps, CLIP_FPS))
    elif record.origins is not None and record.first[: start + 1, env].any():
        begin = int(np.flatnonzero(record.first[: start + 1, env])[-1])
        origin, act = record.origins[begin, env], record.act[begin:stop, env].copy()
        view = Replay(task.env_id, origin, act, start - begin, obs[0].copy(), min(task.fps, CLIP_FPS))
    return Segment(
        obs=obs,
        act=record.act[start:stop, env],
        context=np.zeros((0, *obs.shape[1:]), obs.dtype),
        true_reward=record.true_reward[start:stop, env],
        view=view,
    )


def as_batch(record: Record) -> SegmentBatch:
    """Each environment's whole record as one segment, [n, L]: how the learned reward scores a rollout at once."""
    steps, envs = record.true_reward.shape
    none = torch.zeros((envs, 0), dtype=torch.bool)
    obs = torch.from_numpy(record.obs.swapaxes(0, 1).copy())
    return SegmentBatch(
        obs=obs,
        act=torch.from_numpy(record.act.swapaxes(0, 1).copy()),
        mask=torch.ones((envs, steps), dtype=torch.bool),
        context=obs[:, :0],
        context_mask=none,
    )
