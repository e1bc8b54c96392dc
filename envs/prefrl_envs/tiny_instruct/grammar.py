"""A small context-free grammar of phrases: one set of rules both writes phrases and recognizes them."""

import re
from collections.abc import Mapping

import numpy as np


class Grammar:
    """Rules from a name to phrases, all equally likely.

    In a phrase `a/b` is one of two words, `(x y)` may be left out, `<rule>` is a phrase of that rule and a word in
    capitals is a slot, filled by whoever uses the phrase. Rules may not be recursive.
    """

    def __init__(self, rules: Mapping[str, tuple[str, ...]]) -> None:
        self.rules = rules

    def sample(self, rule: str, rng: np.random.Generator) -> str:
        """A phrase of the rule with its slots still open."""
        phrases = self.rules[rule]
        return " ".join(self._choose(phrases[int(rng.integers(len(phrases)))], rng))

    def _choose(self, phrase: str, rng: np.random.Generator) -> list[str]:
        said: list[str] = []
        skip = False
        for word in _split(phrase):
            if word == "(":
                skip = rng.random() < 0.5
            elif word == ")":
                skip = False
            elif skip:
                continue
            elif word[0] == "<":
                said += self.sample(word[1:-1], rng).split()
            else:
                options = word.split("/")
                said.append(options[int(rng.integers(len(options)))])
        return said

    def patterns(self, rule: str, slots: Mapping[str, str]) -> list[re.Pattern[str]]:
        """For each phrase of the rule what finds it in text that has a space after each word.

        `slots` maps a slot to the regular expression of what may fill it.
        """
        return [re.compile(r"(?<![^ ])" + self._pattern(phrase, slots)) for phrase in self.rules[rule]]

    def _pattern(self, phrase: str, slots: Mapping[str, str]) -> str:
        parts = []
        for word in _split(phrase):
            if word == "(":
                parts.append("(?:")
            elif word == ")":
                parts.append(")?")
            elif word[0] == "<":
                parts.append("(?:" + "|".join(self._pattern(inner, slots) for inner in self.rules[word[1:-1]]) + ")")
            elif word in slots:
                parts.append(slots[word])
            else:
                parts.append("(?:" + "|".join(map(re.escape, word.split("/"))) + ") ")
        return "".join(parts)


def _split(phrase: str) -> list[str]:
    return phrase.replace("(", " ( ").replace(")", " ) ").split()
