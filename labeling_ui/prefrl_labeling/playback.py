"""One clock for both clips."""

import math
from dataclasses import dataclass, replace

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)
HOLD_SECONDS = 0.4  # of the last picture, so that the start of the next loop is not taken for a jump of the agent


@dataclass(frozen=True)
class Playback:
    """Where the clips are. Every change is a new value."""

    seconds: float  # of the longer clip; 0: nothing moves
    fps: float  # of the faster clip: what one frame is
    time: float = 0.0
    speed: float = 1.0
    playing: bool = True
    loops: int = 0  # seen to the end
    replays: int = 0  # asked for

    def advanced(self, elapsed: float) -> "Playback":
        """After so many seconds of a person's time."""
        if not self.playing or self.seconds <= 0:
            return self
        time, whole = self.time + elapsed * self.speed, self.seconds + HOLD_SECONDS
        return replace(self, time=time % whole, loops=self.loops + self._ends(time) - self._ends(self.time))

    def _ends(self, time: float) -> int:
        """How often the last picture has been reached by `time`."""
        return math.floor((time + HOLD_SECONDS) / (self.seconds + HOLD_SECONDS))

    def toggled(self) -> "Playback":
        """Playing or not."""
        return replace(self, playing=not self.playing)

    def replayed(self) -> "Playback":
        """Both from the start, playing."""
        return replace(self, time=0.0, playing=True, replays=self.replays + 1)

    def stepped(self, frames: int) -> "Playback":
        """So many frames on or back, standing still."""
        if self.fps <= 0:
            return self
        last = max(0, round(self.seconds * self.fps) - 1)
        frame = min(max(math.floor(self.time * self.fps + 1e-6) + frames, 0), last)
        return replace(self, time=frame / self.fps, playing=False)

    def sped(self, by: int) -> "Playback":
        """Faster or slower by so many steps."""
        place = min(max(SPEEDS.index(self.speed) + by, 0), len(SPEEDS) - 1)
        return replace(self, speed=SPEEDS[place])
