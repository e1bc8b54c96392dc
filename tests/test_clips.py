from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from worlds import learner, makes

from prefrl.control.clips import as_batch, cut
from prefrl.control.playing import replayed
from prefrl.control.tasks import Task, find_task
from prefrl.control.vector import Record, RecordingVecEnv
from prefrl.errors import PrefrlError
from prefrl.segment_bytes import decode_segment, encode_segment
from prefrl.segments import Replay, Segment, SimulatorStates


def recorded(steps: int, num_envs: int = 2, *, limit: int | None = None, ends: int | None = None) -> Record:
    """Observations say copy, episode and step."""
    venv = RecordingVecEnv(makes(limit=limit, ends=ends), num_envs, normalize=False)
    venv.restart(0, steps)
    venv.reset()
    for _ in range(steps):
        venv.step(np.random.default_rng(0).uniform(-1, 1, (num_envs, 1)).astype(np.float32))
    return venv.record()


def task(clip_steps: int) -> Task:
    return Task("counter", "Counter-v0", clip_steps=clip_steps, episode_steps=None, fps=10.0)


def clips(record: Record, clip_steps: int, *, seed: int = 0, most: int = 10**6) -> list[Segment]:
    return cut(record, task(clip_steps), np.random.default_rng(seed), most=most)


def spans(segments: list[Segment]) -> list[tuple[int, int, int, int]]:
    """(copy, episode, first step, number of steps) of each, checked to be without gaps and from one episode."""
    found = []
    for segment in segments:
        copies, episodes, steps = segment.obs.T.astype(int)
        assert len(set(copies)) == len(set(episodes)) == 1
        assert steps.tolist() == list(range(steps[0], steps[0] + len(segment)))
        found.append((int(copies[0]), int(episodes[0]), int(steps[0]), len(segment)))
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [{"limit": 23}, {"limit": 23, "ends": 17}, {}])
def test_clips_lie_within_episodes_and_do_not_overlap(shape: dict[str, Any], seed: int) -> None:
    seen = set()
    for copy, episode, start, length in spans(clips(recorded(100, **shape), 5, seed=seed)):
        assert length == 5 or (start + length == shape.get("ends") and 0 < length < 5)
        steps = {(copy, episode, t) for t in range(start, start + length)}
        assert not steps & seen
        seen |= steps


def test_clips_come_from_every_environment() -> None:
    """mrahtz shows people clips of the first environment alone."""
    found = spans(clips(recorded(20, num_envs=5), 5))
    assert {copy for copy, *_ in found} == {0, 1, 2, 3, 4}
    few = spans(clips(recorded(1000, num_envs=5), 5, most=100))
    assert {copy for copy, *_ in few} == {0, 1, 2, 3, 4}


def test_a_clip_is_a_copy_of_what_happened() -> None:
    """A view would keep every rollout in memory for as long as one clip of it is."""
    record = recorded(20)
    segment = clips(record, 5)[0]
    copy, episode, start, length = spans([segment])[0]
    assert copy == episode == 0
    np.testing.assert_array_equal(segment.act, record.act[start : start + length, 0])
    assert segment.true_reward is not None
    assert segment.true_reward.tolist() == [start + 1 + i for i in range(5)]
    assert segment.context.shape == (0, 3)
    record.obs[:], record.act[:], record.true_reward[:] = -1, -1, -1
    assert segment.obs[:, 2].tolist() == list(range(start, start + 5))
    assert segment.true_reward[0] == start + 1
    assert all(array.base is None for array in (segment.obs, segment.act, segment.true_reward))


def test_an_episode_exactly_as_long_as_a_clip_is_one() -> None:
    """BPref's sampler crashes there."""
    assert spans(clips(recorded(20, 1, limit=10), 10)) == [(0, 0, 0, 10), (0, 1, 0, 10)]
    assert spans(clips(recorded(10, 1), 10)) == [(0, 0, 0, 10)]


def test_every_start_is_reached_the_last_one_too() -> None:
    """BPref never samples the last; episodes may have any length here."""
    record = recorded(12, 1)
    starts = {start for seed in range(200) for _, _, start, _ in spans(clips(record, 10, seed=seed))}
    assert starts == {0, 1, 2}


def test_where_an_episode_ended_by_itself_its_last_clip_is_cut_short() -> None:
    """So that the fall is seen, and clips of different lengths tell what a step more is worth."""
    cuts = {tuple(spans(clips(recorded(26, 1, ends=26), 8, seed=seed))) for seed in range(100)}
    assert cuts == {
        ((0, 0, 0, 8), (0, 0, 8, 8), (0, 0, 16, 8), (0, 0, 24, 2)),
        *(tuple((0, 0, 26 - last - 8 * k, 8 if k else last) for k in (2, 1, 0)) for last in range(3, 9)),
    }


def test_an_episode_as_long_as_a_clip_that_ended_by_itself_is_one_clip() -> None:
    found = [spans(clips(recorded(8, 1, ends=8), 8, seed=seed)) for seed in range(100)]
    assert {len(cut) for cut in found} == {1}
    assert {cut[0] for cut in found} == {(0, 0, 8 - last, last) for last in range(2, 9)}


def test_a_short_episode_that_ended_by_itself_is_a_clip_of_its_own() -> None:
    """No segments clip is lost: a policy that always falls at once could otherwise never be asked about."""
    assert spans(clips(recorded(9, 1, ends=3), 5)) == [(0, 0, 0, 3), (0, 1, 0, 3), (0, 2, 0, 3)]


def test_a_stub_that_was_cut_off_is_no_clip() -> None:
    """It is short because we stopped recording, or because of the time limit, which says nothing about behavior."""
    assert spans(clips(recorded(14, 1, limit=10), 6)) != []
    assert all(length == 6 for *_, length in spans(clips(recorded(14, 1, limit=10), 6)))
    assert clips(recorded(9, 1, limit=3), 5) == []
    # The second episode was still going on.
    assert spans(clips(recorded(10, 1, ends=8), 5)) == [(0, 0, 3, 5)]


def test_the_pool_is_capped_without_favorites() -> None:
    record = recorded(300, 2)
    chosen = [spans(clips(record, 5, seed=seed, most=10)) for seed in range(50)]
    assert all(len(each) == 10 for each in chosen)
    starts = [start for each in chosen for _, _, start, _ in each]
    assert np.mean(starts) == pytest.approx(147, abs=20)
    assert clips(record, 5, most=0) == []


def test_nothing_recorded_no_clips() -> None:
    venv = RecordingVecEnv(makes(limit=None), 2, normalize=False)
    venv.restart(0, 10)
    venv.reset()
    assert clips(venv.record(), 5) == []


def test_clips_of_a_simulator_can_be_drawn_later() -> None:
    hopper = find_task("hopper", clip_seconds=0.1)
    venv = RecordingVecEnv(hopper.make, 1, normalize=False)
    venv.restart(0, 30)
    venv.reset()
    for _ in range(30):
        venv.step(np.zeros((1, 3), np.float32))
    record = venv.record()
    segment = cut(record, hopper, np.random.default_rng(0), most=100)[0]
    assert isinstance(segment.view, SimulatorStates)
    assert (segment.view.env_id, segment.view.fps) == ("prefrl/Hopper-v0", 40.0)  # slowed down
    assert record.states is not None
    start = next(t for t in range(30) if (record.obs[t, 0] == segment.obs[0]).all())
    np.testing.assert_array_equal(segment.view.states, record.states[start : start + 4, 0].astype(np.float32))
    assert segment.view.states.base is None


def test_a_whole_rollout_as_one_batch() -> None:
    record = recorded(7, 3, limit=4)
    batch = as_batch(record)
    assert batch.mask.shape == (3, 7)
    assert batch.mask.all()
    np.testing.assert_array_equal(batch.obs, record.obs.swapaxes(0, 1))
    np.testing.assert_array_equal(batch.act, record.act.swapaxes(0, 1))
    assert batch.context.shape == (3, 0, 3)
    assert batch.context_mask.shape == (3, 0)


def test_a_world_that_draws_itself_is_acted_once_more_to_be_drawn() -> None:
    """The dot in the replayed pictures is where the segment says, in episodes after the first too."""
    made = learner("ppo", find_task("moving-dot", clip_seconds=0.5)).rollout(600).segments
    later = [s for s in made if isinstance(s.view, Replay) and s.view.start > 0]
    assert later
    for segment in (made[0], later[0], later[-1]):
        assert isinstance(segment.view, Replay)
        again = decode_segment(segment.id, *encode_segment(segment)).view
        assert isinstance(again, Replay)
        pictures = list(replayed(again))
        assert len(pictures) == len(segment) == len(segment.view)
        for picture, dot in zip(pictures, segment.obs, strict=True):
            column, row = ((dot * [1, -1] + 1.0) * 47.0).astype(int)
            assert tuple(picture[row, column]) == (230, 159, 0)
    other = replace(segment.view, seen=segment.view.seen + 1)
    with pytest.raises(PrefrlError, match="does not do the same again"):
        list(replayed(other))
