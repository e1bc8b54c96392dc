"""The two ways in which prefrl stops on purpose, and what settings must be."""


class PrefrlError(Exception):
    """Something that the user can mend: the message says what, with the numbers, and the next move. Exit code 2."""


class Interrupted(Exception):
    """The user asked for a stop, and everything up to the newest checkpoint is kept. Exit code 75."""


def require(good: bool, name: str, rule: str, value: object) -> None:
    """Raise PrefrlError, which says what the setting must be and what it is, unless it is good."""
    if not good:
        raise PrefrlError(f"{name} must be {rule}, got {value}")
