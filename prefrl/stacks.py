"""Stacks of pictures, kept as their distinct frames.

An agent that sees the newest D pictures at every step sees each of them D times. Such observations are a view of their
distinct frames, in which memory is read D times over: what asks for [T, D, *frame] gets it, and T + D - 1 frames are
all that is kept, compared and written.
"""

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from torch import Tensor


def stacked(frames: np.ndarray, depth: int, *, axis: int = 1) -> np.ndarray:
    """What is seen at each of T steps, the newest frame last: frames [T + D - 1, ...] -> a view [T, ...].

    `axis` is where the D frames of a stack go: [T + D - 1, n, *frame] with axis 2 gives [T, n, D, *frame].
    """
    return np.moveaxis(sliding_window_view(frames, depth, axis=0, writeable=frames.flags.writeable), -1, axis)


def stacked_tensor(frames: Tensor, depth: int) -> Tensor:
    """The same of a batch: frames [B, T + D - 1, *frame] -> a view [B, T, D, *frame]."""
    return frames.unfold(1, depth, 1).movedim(-1, 2)


def channels_last(pictures: Tensor) -> Tensor:
    """Pictures [M, channels, height, width] in a memory where the channels of a place lie side by side.

    So processors convolve them several times as fast, and torch takes three times as long to copy them there.
    """
    if pictures.is_cuda:
        return pictures.to(memory_format=torch.channels_last)
    planes = pictures.numpy()
    count, channels, *size = planes.shape
    copy = np.empty((count, *size, channels), planes.dtype)
    for start in range(0, count, 8):  # what is written once a channel should stay near the processor
        for c in range(channels):
            copy[start : start + 8, ..., c] = planes[start : start + 8, c]
    return torch.from_numpy(copy).permute(0, 3, 1, 2)


def distinct_frames(obs: np.ndarray) -> np.ndarray | None:
    """The frames [T + D - 1, *frame] behind observations [T, D, *frame] that `stacked` made; None for all others."""
    if obs.ndim < 2 or obs.shape[0] == 0 or obs.shape[1] < 2 or obs.strides[0] != obs.strides[1]:
        return None
    shape = (obs.shape[0] + obs.shape[1] - 1, *obs.shape[2:])
    return as_strided(obs, shape, obs.strides[1:], writeable=False)
