"""Write pictures as a video that every browser plays."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from prefrl.errors import PrefrlError


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> int:
    """Write frames [H, W, 3], uint8, all of one size, as H.264 in MP4; returns how many there were.

    Frames stream to ffmpeg, so that memory does not grow with the video. It has its name only when it is whole. Raises
    PrefrlError if there are no frames, if the folder is missing or cannot be written to, or if there is no ffmpeg.
    """
    if not path.parent.is_dir():
        raise PrefrlError(f"no folder {path.parent} to write {path.name} in; create it first")
    stream = iter(frames)
    first = next(stream, None)
    if first is None:
        raise PrefrlError(f"no frames to write to {path}")
    partial = path.with_name(path.name + ".partial")
    try:
        count = _encode(partial, chain([first], stream), first.shape, fps)
        os.replace(partial, path)
    except OSError as error:
        reason = str(error).strip().splitlines()
        raise PrefrlError(
            f"cannot write {path}: {error.strerror or (reason[-1] if reason else 'ffmpeg failed')}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _encode(path: Path, frames: Iterator[np.ndarray], shape: tuple[int, ...], fps: float) -> int:
    height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2  # yuv420p halves both
    try:
        writer = imageio_ffmpeg.write_frames(
            str(path),
            (width, height),
            fps=fps,
            codec="libx264",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-crf", "20", "-movflags", "+faststart", "-threads", "1", "-f", "mp4"],
        )
        writer.send(None)
    except RuntimeError as error:
        raise PrefrlError(
            f"no ffmpeg to write {path.name} with ({error}); pip install imageio-ffmpeg brings one"
        ) from error
    count = 0
    try:
        for frame in frames:
            if frame.shape != shape:
                raise ValueError(f"frame {count} has shape {frame.shape}, the first {shape}")
            even = np.pad(frame, ((0, height - shape[0]), (0, width - shape[1]), (0, 0)), mode="edge")
            writer.send(np.ascontiguousarray(even))
            count += 1
    finally:
        writer.close()
    return count
