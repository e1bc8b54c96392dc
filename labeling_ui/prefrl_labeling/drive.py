"""The agent in a person's hands: which keys are held, and one step after another at the environment's speed."""

from collections.abc import Callable

from prefrl.errors import PrefrlError
from prefrl_labeling.overlays import PracticeScreen
from prefrl_labeling.practice import Practice


class Drive:
    """Goes on until it is closed; where the environment cannot be driven, or fails, `screen` says why."""

    def __init__(self, begin: Callable[[], Practice] | None, now: float) -> None:
        self._practice: Practice | None = None
        self._held: set[str] = set()
        self._stepped = now
        try:
            if begin is None:
                raise PrefrlError("There is no environment to drive here.")
            self._practice = begin()
            self.screen = PracticeScreen(self._practice.reset(), self._practice.keys, frozenset(), "")
        except PrefrlError as error:
            self._give_up(error)

    @property
    def moving(self) -> bool:
        """Whether there is anything to drive."""
        return self._practice is not None

    def hold(self, key: str) -> bool:
        """A key went down; whether it is one of the environment's."""
        if self._practice is None or key not in dict(self._practice.keys):
            return False
        self._held.add(key)
        return True

    def release(self, key: str) -> None:
        """A key went up."""
        self._held.discard(key)

    def again(self) -> None:
        """Begin the episode anew."""
        if self._practice is not None:
            self._practice.reset()

    def advance(self, now: float) -> None:
        """One step, if it is time for one."""
        if self._practice is None or now - self._stepped < 1 / self._practice.fps:
            return
        self._stepped = now
        held = frozenset(self._held)
        try:
            self.screen = PracticeScreen(self._practice.step(held), self._practice.keys, held, "")
        except PrefrlError as error:
            self._give_up(error)

    def close(self) -> None:
        """Give the environment back."""
        if self._practice is not None:
            self._practice.close()
        self._practice = None

    def _give_up(self, error: PrefrlError) -> None:
        self.close()
        self.screen = PracticeScreen(None, (), frozenset(), str(error))
