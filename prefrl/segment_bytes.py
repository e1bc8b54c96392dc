"""A segment as bytes and back: a JSON header, then the arrays' own bytes.

There is no pickle in it, so a file from elsewhere runs no code.

Layout: 4 bytes, little-endian, the length of the header; the header in UTF-8; the arrays in C order, one after another.
The header names each array, its dtype and its shape, and may hold plain values: strings and numbers.
"""

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from prefrl.errors import PrefrlError
from prefrl.segments import Frames, GameReplay, Replay, Segment, SimulatorStates, Text, View

_DTYPE = re.compile(r"[<>|][biuf][1248]")  # as `dtype.str` writes it: bool, integers and floats of at most 8 bytes
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
    content = _pack(arrays, {})
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
        arrays, _ = _unpack(content)
        return Segment(
            arrays["obs"],
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
    described = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    header = json.dumps({"arrays": described, "plain": dict(plain)}).encode()
    return b"".join([struct.pack("<I", len(header)), header, *(array.tobytes() for array in arrays.values())])


def _unpack(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays share the memory of `data`; a header that claims more than there is allocates nothing."""
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    arrays, start = {}, 4 + length
    for name, code, shape in header["arrays"]:
        if not _DTYPE.fullmatch(code) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"{name} claims dtype {code!r} and shape {shape}")
        dtype = np.dtype(code)
        count = math.prod(shape)
        if start + count * dtype.itemsize > len(data):
            raise ValueError(f"{name} claims {count} items, {len(data) - start} bytes are left")
        arrays[name] = np.frombuffer(data, dtype, count, start).reshape(shape)
        start += count * dtype.itemsize
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes too many")
    return arrays, header["plain"]
