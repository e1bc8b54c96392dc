"""A segment as bytes and back: a JSON header, then the arrays' own bytes.

There is no pickle in it, so a file from elsewhere runs no code.

Layout: 4 bytes, little-endian, the length of the header; the header in UTF-8; the arrays in C order, one after another.
The header names each array, its dtype and its shape, and may hold plain values: strings and numbers. Bytes (pictures,
which shrink to a tenth and less) are compressed by zlib, and the header then says to how many. Stacks of frames
(`stacks`) are their distinct frames, and `stack` says how many are seen at each step.
"""

import json
import math
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from prefrl.errors import PrefrlError
from prefrl.segments import Frames, GameReplay, Replay, Segment, SimulatorStates, Text, View
from prefrl.stacks import distinct_frames, stacked

_DTYPE = re.compile(r"[<>|][biuf][1248]")  # as `dtype.str` writes it: bool, integers and floats of at most 8 bytes
_WORTH_IT = 1024  # bytes from which compressing is
_VIEWS: dict[str, type[View]] = {
    "simulator_states": SimulatorStates,
    "replay": Replay,
    "game_replay": GameReplay,
    "frames": Frames,
    "text": Text,
}


def encode_segment(segment: Segment) -> tuple[bytes, bytes | None]:
    """What the models and oracles need, and apart from it the view, which only people do; None without a view."""
    arrays = {"obs": segment.obs, "act": segment.act, "context": segment.context}
    if segment.true_reward is not None:
        arrays["true_reward"] = segment.true_reward
    frames = distinct_frames(segment.obs)
    plain_content: dict[str, int] = {}
    if frames is not None:
        arrays["obs"], plain_content["stack"] = frames, segment.obs.shape[1]
    content = _pack(arrays, plain_content)
    if segment.view is None:
        return content, None
    kind = next(name for name, view in _VIEWS.items() if isinstance(segment.view, view))
    values = {field.name: getattr(segment.view, field.name) for field in fields(segment.view)}
    shown = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in values.items() if name not in shown}
    return content, _pack(shown, {"kind": kind, **plain})


def decode_segment(segment_id: str, content: bytes, view: bytes | None = None) -> Segment:
    """The segment again. Raises ValueError unless the bytes are well formed and hold the content that the id names."""
    try:
        arrays, plain = _unpack(content)
        return Segment(
            stacked(arrays["obs"], plain["stack"]) if "stack" in plain else arrays["obs"],
            arrays["act"],
            arrays["context"],
            true_reward=arrays.get("true_reward"),
            view=None if view is None else _view(view),
            id=segment_id,
        )
    # TypeError: a list where a number belongs. RecursionError: a header of a million brackets.
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise ValueError(f"{len(content) + len(view or b'')} bytes are not segment {segment_id}: {error}") from error


def _view(data: bytes) -> View:
    arrays, plain = _unpack(data)
    view = _VIEWS[plain.pop("kind")]
    values = {**plain, **arrays}
    for field in fields(view):
        kind = type(values[field.name])
        if kind is not field.type and (kind, field.type) != (int, float):
            raise ValueError(f"{field.name} of a view is a {kind.__name__}")
    return view(**values)


def _pack(arrays: Mapping[str, np.ndarray], plain: Mapping[str, str | float]) -> bytes:
    for name, array in arrays.items():
        if not _DTYPE.fullmatch(array.dtype.str):
            raise PrefrlError(f"{name} of a segment has dtype {array.dtype}; use bool, an integer or a float type")
    described: list[tuple[object, ...]] = []
    parts: list[bytes] = []
    for name, array in arrays.items():
        data = array.tobytes()
        compressed = array.dtype.itemsize == 1 and len(data) > _WORTH_IT
        parts.append(zlib.compress(data, level=1) if compressed else data)
        described.append((name, array.dtype.str, array.shape, *([len(parts[-1])] if compressed else [])))
    header = json.dumps({"arrays": described, "plain": dict(plain)}).encode()
    return b"".join([struct.pack("<I", len(header)), header, *parts])


def _unpack(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays share the memory of `data`; a header that claims more than there is allocates nothing."""
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    arrays, start = {}, 4 + length
    for name, code, shape, *compressed in header["arrays"]:
        if not _DTYPE.fullmatch(code) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"{name} claims dtype {code!r} and shape {shape}")
        dtype, count = np.dtype(code), math.prod(shape)
        size = compressed[0] if compressed else count * dtype.itemsize
        if type(size) is not int or not 0 <= size <= len(data) - start:
            raise ValueError(f"{name} claims {size} bytes, {len(data) - start} are left")
        if compressed:
            arrays[name] = np.frombuffer(_inflated(data[start : start + size], count * dtype.itemsize), dtype)
        else:
            arrays[name] = np.frombuffer(data, dtype, count, start)
        arrays[name] = arrays[name].reshape(shape)
        start += size
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes too many")
    return arrays, header["plain"]


def _inflated(data: bytes, size: int) -> bytes:
    """What zlib packed; never more than one byte beyond `size` is made, whatever the data claims."""
    try:
        whole = zlib.decompressobj().decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"{len(data)} bytes are not compressed as they claim: {error}") from error
    if len(whole) != size:
        raise ValueError(f"{len(data)} bytes hold other than the {size} they claim")
    return whole
