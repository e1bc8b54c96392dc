import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefrl.segments import Segment, SegmentBatch, collate, content_id, last_steps, thinned


def segment(steps: int = 3, given: int = 0, *, start: float = 0.0) -> Segment:
    """Observations start, start + 1, ...; actions their negatives; context -1, -2, ... of the same start."""
    obs = start + np.arange(steps, dtype=np.float32)[:, None]
    return Segment(obs=obs, act=-obs, context=-1 - np.arange(given, dtype=np.float32)[:, None])


def test_a_segment_is_a_copy() -> None:
    """A view would keep the whole rollout alive, and change when the rollout's buffer is reused."""
    rollout = np.arange(100, dtype=np.float32)[:, None]
    cut = Segment(rollout[10:13], rollout[10:13], rollout[:0], true_reward=rollout[10:13, 0])
    before = cut.id
    rollout[:] = -1
    assert cut.obs[:, 0].tolist() == [10, 11, 12]
    assert cut.true_reward is not None
    assert cut.true_reward.tolist() == [10, 11, 12]
    assert content_id(cut.context, cut.obs, cut.act) == before
    assert all(array.base is None for array in (cut.obs, cut.act, cut.context, cut.true_reward))


def test_a_segment_is_frozen() -> None:
    cut = segment()
    with pytest.raises(ValueError, match="read-only"):
        cut.obs[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        cut.obs = cut.act  # type: ignore[misc]
    assert dataclasses.replace(cut).obs is cut.obs  # what is frozen already is not copied again


def test_the_id_names_content_shape_and_type() -> None:
    base = segment()
    assert len(base.id) == 32
    assert segment().id == base.id
    assert segment(start=1).id != base.id
    assert segment(steps=2).id != base.id
    assert segment(given=1).id != base.id
    assert Segment(base.obs.astype(np.float64), base.act, base.context.astype(np.float64)).id != base.id
    assert Segment(base.act, base.obs, base.context).id != base.id


def test_shape_and_type_are_part_of_the_id() -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert content_id(zeros) != content_id(zeros.reshape(3, 2))
    assert content_id(zeros) != content_id(zeros.view(np.int32))
    assert content_id(zeros, zeros) != content_id(np.zeros((4, 3), np.float32))
    assert content_id(np.zeros((0, 3))) != content_id(np.zeros((0, 4)))


def test_memory_layout_is_not_part_of_the_id() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert content_id(array) == content_id(np.asfortranarray(array)) == content_id(np.repeat(array, 2, axis=0)[::2])


def test_the_true_reward_and_the_view_are_not_part_of_the_id() -> None:
    base = segment()
    assert Segment(base.obs, base.act, base.context, true_reward=np.ones(3)).id == base.id


def test_an_id_of_other_content_is_refused() -> None:
    with pytest.raises(ValueError, match="holds other content"):
        dataclasses.replace(segment(), obs=segment(start=1).obs)


def test_what_is_no_segment() -> None:
    three, two, none = np.zeros((3, 1)), np.zeros((2, 1)), np.zeros((0, 1))
    with pytest.raises(ValueError, match="at least one: 3 != 2"):
        Segment(three, two, none)
    with pytest.raises(ValueError, match="at least one: 0 != 0"):
        Segment(none, none, none)
    with pytest.raises(ValueError, match=r"true_reward has shape \(2,\), expected \(3,\)"):
        Segment(three, three, none, true_reward=np.zeros(2))
    with pytest.raises(ValueError, match="context steps have shape"):
        Segment(three, three, np.zeros((0, 2)))
    for name in ("obs", "act", "context"):
        arrays = {"obs": three, "act": three, "context": three, name: np.array([[0], [np.nan], [0]])}
        with pytest.raises(ValueError, match=f"{name} of a segment holds NaN"):
            Segment(arrays["obs"], arrays["act"], arrays["context"])


def test_collate_by_hand() -> None:
    batch = collate([segment(steps=3, given=1), segment(steps=1, given=2, start=5)])
    assert batch.obs[..., 0].tolist() == [[0, 1, 2], [5, 0, 0]]
    assert batch.act[..., 0].tolist() == [[0, -1, -2], [-5, 0, 0]]
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    # Context is padded on the left, so that it ends where the steps begin.
    assert batch.context[..., 0].tolist() == [[0, -1], [-1, -2]]
    assert batch.context_mask.tolist() == [[False, True], [True, True]]
    assert len(batch) == 2


def test_a_batch_keeps_types() -> None:
    cut = Segment(np.zeros((2, 4, 4), np.uint8), np.array([3, 1]), np.zeros((0, 4, 4), np.uint8))
    batch = collate([cut, cut])
    assert (batch.obs.dtype, batch.act.dtype, batch.mask.dtype) == (torch.uint8, torch.int64, torch.bool)
    assert (batch.obs.shape, batch.context.shape) == ((2, 2, 4, 4), (2, 0, 4, 4))
    batch.obs.fill_(7)  # the batch shares no memory with the segment
    assert cut.obs.max() == 0


def test_no_model_can_see_the_true_reward() -> None:
    base = segment()
    batch = collate([Segment(base.obs, base.act, base.context, true_reward=np.full(3, np.nan))])
    assert {f.name for f in dataclasses.fields(SegmentBatch)} == {"obs", "act", "mask", "context", "context_mask"}
    for field in dataclasses.fields(SegmentBatch):
        assert torch.isfinite(getattr(batch, field.name).double()).all()


@given(lengths=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=5), data=st.data())
def test_the_masks_select_the_segments_again(lengths: list[tuple[int, int]], data: st.DataObject) -> None:
    segments = [segment(steps, given, start=i) for i, (steps, given) in enumerate(lengths)]
    order = data.draw(st.lists(st.integers(0, len(segments) - 1), min_size=1, max_size=6))
    batch = collate(segments)[torch.tensor(order)]
    for row, i in enumerate(order):
        assert np.array_equal(batch.obs[row][batch.mask[row]].numpy(), segments[i].obs)
        assert np.array_equal(batch.act[row][batch.mask[row]].numpy(), segments[i].act)
        assert np.array_equal(batch.context[row][batch.context_mask[row]].numpy(), segments[i].context)


def test_nothing_cannot_be_collated() -> None:
    with pytest.raises(ValueError, match="zero segments"):
        collate([])


def test_the_last_real_step_of_each_segment() -> None:
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert last_steps(mask).tolist() == [[False, True, False], [False, False, True]]


def test_one_step_in_two_of_a_batch() -> None:
    """Segments of five and of two steps: from the second step on, two steps and one are left, for five and two."""
    batch = collate([segment(5, 1, start=0), segment(2, 1, start=10)])
    read, steps = thinned(batch, 2, 1)
    assert steps.tolist() == [2.5, 2.0]
    assert torch.equal(read.obs, batch.obs[:, [1, 3]])
    assert torch.equal(read.act, batch.act[:, [1, 3]])
    assert read.mask.tolist() == [[True, True], [True, False]]
    assert torch.equal(read.context, batch.context)
