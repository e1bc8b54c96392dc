"""Stacks of pictures that are kept as their distinct frames."""

import json
import struct
import zlib

import numpy as np
import pytest
import torch

from prefrl.segment_bytes import decode_segment, encode_segment
from prefrl.segments import Segment, collate
from prefrl.stacks import channels_last, distinct_frames, stacked, stacked_tensor


def pictures(steps: int, *, seed: int = 0, depth: int = 4) -> np.ndarray:
    """Distinct frames [steps + depth - 1, 6, 5]."""
    return np.random.default_rng(seed).integers(256, size=(steps + depth - 1, 6, 5), dtype=np.uint8)


def segment(steps: int, *, seed: int = 0, whole: bool = False) -> Segment:
    obs = stacked(pictures(steps, seed=seed), 4)
    obs = obs.copy() if whole else obs
    return Segment(obs, np.arange(steps), np.zeros((0, *obs.shape[1:]), np.uint8), np.arange(float(steps)))


def test_stacks_by_hand() -> None:
    frames = np.array([10, 11, 12, 13, 14])[:, None]
    seen = stacked(frames, 3)
    assert seen[:, :, 0].tolist() == [[10, 11, 12], [11, 12, 13], [12, 13, 14]]
    assert np.shares_memory(seen, frames)
    found = distinct_frames(seen)
    assert found is not None
    assert found[:, 0].tolist() == [10, 11, 12, 13, 14]
    found = distinct_frames(seen[1:])
    assert found is not None
    assert found[:, 0].tolist() == [11, 12, 13, 14]


def test_stacks_of_many_environments_and_of_batches() -> None:
    frames = np.arange(5 * 2).reshape(5, 2)  # [T + D - 1, n]
    seen = stacked(frames, 3, axis=2)  # [T, n, D]
    assert seen[:, 1].tolist() == [[1, 3, 5], [3, 5, 7], [5, 7, 9]]
    found = distinct_frames(seen[:, 1])
    assert found is not None
    assert found.tolist() == [1, 3, 5, 7, 9]
    batch = stacked_tensor(torch.from_numpy(frames.T), 3)  # [B, T, D]
    assert batch[1].tolist() == seen[:, 1].tolist()


def test_ordinary_observations_are_no_stacks() -> None:
    for shape in ((5, 3), (5, 1), (5,), (5, 4, 6, 5)):
        assert distinct_frames(np.zeros(shape)) is None
    assert distinct_frames(np.zeros((0, 4, 2))) is None


def test_a_segment_keeps_frames_once_and_frees_the_rollout() -> None:
    kept, whole = segment(25), segment(25, whole=True)
    assert kept.id == whole.id  # what was seen is the same, however it is kept
    np.testing.assert_array_equal(kept.obs, whole.obs)
    frames = distinct_frames(kept.obs)
    assert frames is not None
    assert frames.nbytes == 28 * 30
    rollout = pictures(100)
    piece = Segment(stacked(rollout, 4)[50:60], np.zeros(10), np.zeros((0, 4, 6, 5), np.uint8))
    assert not np.shares_memory(piece.obs, rollout)
    assert not piece.obs.flags.writeable
    again = Segment(piece.obs, piece.act, piece.context)
    assert again.id == piece.id


def test_collate_makes_no_stacks() -> None:
    segments = [segment(5, seed=1), segment(3, seed=2)]
    batch = collate(segments)
    assert batch.obs.shape == (2, 5, 4, 6, 5)
    assert batch.obs.untyped_storage().nbytes() == 2 * 8 * 30
    plain = collate([segment(5, seed=1, whole=True), segment(3, seed=2, whole=True)])
    assert batch.mask.tolist() == plain.mask.tolist()
    assert torch.equal(batch.obs[batch.mask], plain.obs[plain.mask])
    chosen = batch[torch.tensor([1, 0, 1])]
    assert torch.equal(chosen.obs[0, :3], plain.obs[1, :3])
    mixed = collate([segment(5, seed=1), segment(3, seed=2, whole=True)])
    assert torch.equal(mixed.obs[mixed.mask], plain.obs[plain.mask])


def test_bytes_of_stacks_and_back() -> None:
    kept = segment(25)
    content, view = encode_segment(kept)
    assert view is None
    again = decode_segment(kept.id, content)
    np.testing.assert_array_equal(again.obs, kept.obs)
    frames = distinct_frames(again.obs)
    assert frames is not None
    assert frames.shape == (28, 6, 5)
    assert again.true_reward is not None
    assert again.true_reward.tolist() == list(range(25))


def smooth(steps: int) -> Segment:
    frames = np.zeros((steps + 3, 84, 84), np.uint8)
    for i, frame in enumerate(frames):
        frame[40 + i % 4 : 44 + i % 4, 30:33] = 200
    obs = stacked(frames, 4)
    return Segment(obs, np.zeros(steps, np.int64), np.zeros((0, 4, 84, 84), np.uint8))


def test_pictures_are_compressed() -> None:
    made = smooth(25)
    content, _ = encode_segment(made)
    assert len(content) < 28 * 84 * 84 / 10
    np.testing.assert_array_equal(decode_segment(made.id, content).obs, made.obs)


def test_compressed_bytes_that_lie_are_refused() -> None:
    made = smooth(25)
    content, _ = encode_segment(made)
    (length,) = struct.unpack_from("<I", content)
    header = json.loads(content[4 : 4 + length])
    name, code, shape, size = header["arrays"][0]
    assert (name, code, shape) == ("obs", "|u1", [28, 84, 84])

    def tampered(packed: bytes, claimed: list[int], claims: int | None = None) -> bytes:
        first = [name, code, claimed, len(packed) if claims is None else claims]
        head = json.dumps(header | {"arrays": [first, *header["arrays"][1:]]}).encode()
        return b"".join([struct.pack("<I", len(head)), head, packed, content[4 + length + size :]])

    packed = content[4 + length : 4 + length + size]
    assert decode_segment(made.id, tampered(packed, shape)).id == made.id
    bomb = zlib.compress(bytes(50_000_000))
    for data in (
        tampered(packed[:-9], shape),
        tampered(bytes(len(packed)), shape),
        tampered(packed, [27, 84, 84]),
        tampered(bomb, shape),
        tampered(packed, shape, -1),
        tampered(packed, shape, 10**9),
    ):
        with pytest.raises(ValueError, match="are not segment"):
            decode_segment(made.id, data)


@pytest.mark.parametrize("count", [1, 19])
def test_channels_last_are_the_same_pictures_in_another_memory(count: int) -> None:
    seen = torch.from_numpy(stacked(pictures(count), 4))
    found = channels_last(seen)
    assert torch.equal(found, seen)
    assert found.is_contiguous(memory_format=torch.channels_last)
