"""The two ways in which prefrl stops on purpose."""


class PrefrlError(Exception):
    """Something that the user can mend: the message says what, with the numbers, and the next move. Exit code 2."""


class Interrupted(Exception):
    """The user asked for a stop, and everything up to the newest checkpoint is kept. Exit code 75."""
