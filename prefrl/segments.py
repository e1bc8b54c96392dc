"""Segments of behavior, and the padded batches of them that networks see.

The letters mean the same everywhere in prefrl: B batch, T steps, C context steps, E ensemble members, N queries,
K options.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from prefrl.stacks import distinct_frames, stacked, stacked_tensor


@dataclass(frozen=True, eq=False, slots=True)
class SimulatorStates:
    """A clip kept as simulator states, to be drawn only when a person is about to see it."""

    env_id: str  # Gymnasium id of the environment that can draw it
    states: np.ndarray  # [T, nq + nv]  MuJoCo positions, then velocities
    fps: float  # steps per second of simulated time

    def __len__(self) -> int:
        return len(self.states)


@dataclass(frozen=True, eq=False, slots=True)
class Replay:
    """A clip kept as what led to it, to be acted once more, and drawn, only when a person is about to see it."""

    env_id: str  # Gymnasium id of the environment, whose chance all comes from its `np_random`
    origin: str  # JSON of that generator's state before the episode began
    act: np.ndarray  # [S + T, *act]  every action of the episode up to the end of the clip
    start: int  # S, the step at which the clip begins
    seen: np.ndarray  # [*obs]  what was observed there: a replay that sees anything else is refused
    fps: float

    def __len__(self) -> int:
        return len(self.act) - self.start


@dataclass(frozen=True, eq=False, slots=True)
class GameReplay:
    """A clip of an Atari game kept as what led to it, to be played once more when a person is about to see it."""

    env_id: str  # Gymnasium id of the game, "ALE/Pong-v5"
    masked: bool  # whether the masks are black
    games: int  # games that this copy of the game played before the first one of `act`
    act: np.ndarray  # [S + T]  uint8  every action of that game, and of those that followed, up to the end of the clip
    begins: np.ndarray  # [G]  int32  the steps at which games begin; the first is 0
    waited: np.ndarray  # [G]  int32  frames of each game that passed before its first step
    start: int  # S, the step at which the clip begins
    seen: np.ndarray  # [84, 84]  uint8  the picture seen there: a replay that sees another is refused
    skip: int  # frames of a step, each of them drawn
    fps: float  # frames per second

    def __len__(self) -> int:
        return (len(self.act) - self.start) * self.skip


@dataclass(frozen=True, eq=False, slots=True)
class Frames:
    """A clip kept as pictures."""

    frames: np.ndarray  # [T, height, width, 3]  uint8
    fps: float


@dataclass(frozen=True, eq=False, slots=True)
class Text:
    """A prompt and an answer, as a person reads them."""

    prompt: str
    answer: str


Undrawn = SimulatorStates | Replay | GameReplay  # what must be drawn to be seen; `len` tells how many pictures it has
View = Undrawn | Frames | Text


@dataclass(frozen=True, eq=False, slots=True)
class Segment:
    """A stretch of behavior: what the agent was given, then what it saw and did at each step.

    Arrays are copied and frozen, so that a segment never keeps a whole rollout alive; stacks of frames are kept as
    their distinct frames (`stacks`). Raises ValueError for lengths that disagree, for no steps at all, and for
    observations or actions that are not finite.
    """

    obs: np.ndarray  # [T, *obs]  what it saw before each action
    act: np.ndarray  # [T, *act]  what it did
    context: np.ndarray  # [C, *obs]  what it was given (a prompt); C = 0 in control
    true_reward: np.ndarray | None = None  # [T]  for oracles and plots; no model ever sees it
    view: View | None = None  # how to show it to a person
    id: str = field(default="")  # hash of context, obs, act: equal behavior is one segment

    def __post_init__(self) -> None:
        for name in ("obs", "act", "context", "true_reward"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _frozen(value))
        if len(self.obs) == 0 or len(self.obs) != len(self.act):
            raise ValueError(
                f"a segment needs as many observations as actions, at least one: {len(self.obs)} != {len(self.act)}"
            )
        if self.true_reward is not None and self.true_reward.shape != (len(self.obs),):
            raise ValueError(f"true_reward has shape {self.true_reward.shape}, expected ({len(self.obs)},)")
        if self.context.shape[1:] != self.obs.shape[1:]:
            raise ValueError(f"context steps have shape {self.context.shape[1:]}, observations {self.obs.shape[1:]}")
        for name, value in (("obs", self.obs), ("act", self.act), ("context", self.context)):
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ValueError(f"{name} of a segment holds NaN or infinity")
        digest = content_id(self.context, self.obs, self.act)
        if self.id not in ("", digest):
            raise ValueError(f"segment {self.id} holds other content, {digest}")
        object.__setattr__(self, "id", digest)

    def __len__(self) -> int:
        return len(self.obs)


def _frozen(value: np.ndarray) -> np.ndarray:
    """A contiguous copy that cannot be written to; an array that is already so is not copied again."""
    if (frames := distinct_frames(value)) is not None:
        return stacked(_frozen(frames), value.shape[1])
    if value.flags.c_contiguous and not value.flags.writeable and value.base is None:
        return value
    copy = np.array(value, order="C")
    copy.setflags(write=False)
    return copy


def content_id(*arrays: np.ndarray) -> str:
    """32 hexadecimal digits that name the content, shapes and types of `arrays`."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False, slots=True)
class SegmentBatch:
    """What networks see: padded, masked, and without the true reward by construction."""

    obs: Tensor  # [B, T, *obs]
    act: Tensor  # [B, T, *act]
    mask: Tensor  # [B, T]  bool, True at real steps
    context: Tensor  # [B, C, *obs]
    context_mask: Tensor  # [B, C]  bool

    def __len__(self) -> int:
        return len(self.obs)

    def __getitem__(self, index: Tensor | slice) -> "SegmentBatch":
        """The segments at `index`, with the same padding."""
        return replace(
            self,
            obs=self.obs[index],
            act=self.act[index],
            mask=self.mask[index],
            context=self.context[index],
            context_mask=self.context_mask[index],
        )


def thinned(batch: SegmentBatch, stride: int, first: int) -> tuple[SegmentBatch, Tensor]:
    """One step in `stride` of each segment, from the step `first` on, and how many steps each then stands for, [B].

    Padded steps stay padded; a segment must have more steps than `first`.
    """
    steps = slice(first, None, stride)
    read = replace(batch, obs=batch.obs[:, steps], act=batch.act[:, steps], mask=batch.mask[:, steps])
    return read, batch.mask.sum(dim=1) / read.mask.sum(dim=1)


def last_steps(mask: Tensor) -> Tensor:
    """[B, T] bool: the last real step of each segment, from which steps are real, [B, T]."""
    return torch.arange(mask.shape[1], device=mask.device) == mask.sum(dim=1, keepdim=True) - 1


def collate(segments: Sequence[Segment]) -> SegmentBatch:
    """Pad segments to one length: steps on the right, context on the left (so that it ends where the steps begin)."""
    if not segments:
        raise ValueError("cannot collate zero segments")
    steps, given = max(len(s) for s in segments), max(len(s.context) for s in segments)
    first, size = segments[0], len(segments)
    act = np.zeros((size, steps, *first.act.shape[1:]), first.act.dtype)
    context = np.zeros((size, given, *first.obs.shape[1:]), first.obs.dtype)
    mask, context_mask = np.zeros((size, steps), np.bool_), np.zeros((size, given), np.bool_)
    for i, segment in enumerate(segments):
        t, c = len(segment), len(segment.context)
        act[i, :t], mask[i, :t] = segment.act, True
        context[i, given - c :], context_mask[i, given - c :] = segment.context, True
    rest = (torch.from_numpy(array) for array in (act, mask, context, context_mask))
    return SegmentBatch(_padded_obs(segments, steps), *rest)


def _padded_obs(segments: Sequence[Segment], steps: int) -> Tensor:
    """[B, T, *obs]; where all segments are stacks of D frames, a view of their frames [B, T + D - 1, *frame]."""
    kept = [distinct_frames(segment.obs) for segment in segments]
    arrays = [frames for frames in kept if frames is not None]
    depth = segments[0].obs.shape[1] if len(arrays) == len(segments) else 1
    if depth == 1:
        arrays = [segment.obs for segment in segments]
    obs = np.zeros((len(segments), steps + depth - 1, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(obs, arrays, strict=True):
        row[: len(array)] = array
    padded = torch.from_numpy(obs)
    return padded if depth == 1 else stacked_tensor(padded, depth)
