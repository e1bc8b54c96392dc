"""What a person is asked, and what counts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guide:
    """The task in a person's words."""

    task: str
    question: str  # one sentence
    good: str
    bad: str
