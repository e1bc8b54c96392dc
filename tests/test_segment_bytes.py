import json
import struct
from collections.abc import Callable

import numpy as np
import pytest
from stores import segment

from prefrl.errors import PrefrlError
from prefrl.segment_bytes import decode_segment, encode_segment
from prefrl.segments import Segment


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i4", ">i4", "<i8", "<u2", "<f2", "<f4", ">f8"])
def test_dtypes_survive(dtype: str) -> None:
    given = Segment(np.ones((3, 2), dtype), np.zeros((3, 0), dtype), np.zeros((1, 2), dtype))
    again = decode_segment(given.id, *encode_segment(given))
    for name in ("obs", "act", "context"):
        assert getattr(again, name).dtype == np.dtype(dtype)
        assert np.array_equal(getattr(again, name), getattr(given, name))


@pytest.mark.parametrize("dtype", ["c8", "U3", "M8[s]"])
def test_other_dtypes_are_refused_by_name(dtype: str) -> None:
    obs = np.zeros((1, 1), dtype)
    if obs.dtype.kind == "M":  # has no buffer to hash, so the segment itself refuses
        with pytest.raises(ValueError, match="buffer"):
            Segment(obs, obs, np.zeros((0, 1), dtype))
        return
    with pytest.raises(PrefrlError, match="obs of a segment has dtype"):
        encode_segment(Segment(obs, obs, np.zeros((0, 1), dtype)))


def packed(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + body


ONE = [["obs", "<f4", [1, 1]], ["act", "<f4", [1]], ["context", "<f4", [0, 1]]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xff\xff\xff",
        packed(b"[" * 100_000),
        packed([]),
        packed({"plain": {}}),
        packed({"arrays": ONE, "plain": {}}, b"\0" * 7),  # one byte short
        packed({"arrays": ONE, "plain": {}}, b"\0" * 9),  # one too many
        packed({"arrays": ONE, "plain": {}}, b"\0" * 8),  # well formed, but of another id
        packed({"arrays": [["obs", "<f4", [2**62, 2**62]]], "plain": {}}, b"\0" * 8),
        packed({"arrays": [["obs", "<f4", [0, 2**62]]], "plain": {}}),
        packed({"arrays": [["obs", "<f4", [-1, -2]]], "plain": {}}, b"\0" * 8),
        packed({"arrays": [["obs", "<f4", [1.0, True]]], "plain": {}}, b"\0" * 8),
        packed({"arrays": [["obs", "|O8", [1]]], "plain": {}}, b"\0" * 8),
        packed({"arrays": [["obs", "|f1", [1]]], "plain": {}}, b"\0"),
        packed({"arrays": [["obs", ["<f4"], [1]]], "plain": {}}, b"\0" * 4),
    ],
)
def test_hostile_content_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=f"{len(content)} bytes are not segment 00"):
        decode_segment("00", content)


@pytest.mark.parametrize("change", [lambda content: content + b"\0", lambda content: content[:-1]])
def test_content_of_another_length_is_a_value_error(change: Callable[[bytes], bytes]) -> None:
    content, _ = encode_segment(segment(1))
    assert decode_segment(segment(1).id, content).id == segment(1).id
    with pytest.raises(ValueError, match="are not segment"):
        decode_segment(segment(1).id, change(content))


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"kind": "os.system"},
        {"kind": "text", "prompt": "a"},
        {"kind": "text", "prompt": "a", "answer": 3},
        {"kind": "text", "prompt": "a", "answer": "b", "extra": "c"},
        {"kind": "frames", "frames": "none", "fps": 1.0},
    ],
)
def test_hostile_view_is_a_value_error(plain: dict[str, object]) -> None:
    content, _ = encode_segment(segment(1))
    with pytest.raises(ValueError, match="are not segment"):
        decode_segment(segment(1).id, content, packed({"arrays": [], "plain": plain}))
