"""Invents what a base model reads: a small web in which an instruction is mostly followed by another one."""

import numpy as np

from prefrl_envs.tiny_instruct.clauses import say
from prefrl_envs.tiny_instruct.demonstrations import demonstration
from prefrl_envs.tiny_instruct.lexicon import ANSWER, NAMES, NUMBERS, PLURAL, QUESTION, THINGS, members
from prefrl_envs.tiny_instruct.prompts import Prompt, prompts
from prefrl_envs.tiny_instruct.stories import invent, narrate, pick
from prefrl_envs.tiny_instruct.truth import facts

# kind of document: how often. Pages of questions with answers are rare, so a base model does not answer.
SHARES = {
    "story": 0.34,
    "facts": 0.14,
    "dialogue": 0.1,
    "list": 0.08,
    "instructions": 0.24,
    "forum": 0.08,
    "answers": 0.02,
}
_NOISE = (
    "click here for the next page", "user posted again", "lol", "ok thanks", "login to comment", "views : four",
    "new topic", "this thread is closed", "please read the rules", "free offer : best price today", "edit delete share",
    "subscribe here", "wow , very nice", "hmm , not sure", "nope", "spam",
)  # fmt: skip


def documents(n: int, rng: np.random.Generator) -> list[str]:
    """n documents; instructions and answers in them are those of the training split alone."""
    kinds, shares = list(SHARES), list(SHARES.values())
    return [_MAKERS[kinds[int(k)]](rng) for k in rng.choice(len(kinds), size=n, p=shares)]


def _story(rng: np.random.Generator) -> str:
    hero = pick(NAMES, rng)
    told = narrate(invent(rng, hero=hero), rng)
    if rng.random() < 0.5:
        told += narrate(invent(rng, hero=hero), rng)
    title = [["a", "story", "about", hero, "."], []][int(rng.random() < 0.8)]
    return " ".join([*title, *told])


def _facts(rng: np.random.Generator) -> str:
    said = []
    for _ in range(int(rng.integers(1, 4))):
        known = facts(pick(tuple(THINGS), rng))
        for i in rng.permutation(len(known))[: int(rng.integers(2, 6))]:
            said.append(" ".join([*say(known[i]), "."]))
    return " ".join(said)


def _list(rng: np.random.Generator) -> str:
    group = pick(list(PLURAL), rng)
    items = members(group)
    chosen = [items[i] for i in rng.permutation(len(items))[: int(rng.integers(3, 7))]]
    if rng.random() < 0.5:
        return f"{PLURAL[group]} : {' , '.join(chosen[:-1])} and {chosen[-1]} ."
    return f"{PLURAL[group]} : " + " ".join(f"* {item}" for item in chosen)


def _dialogue(rng: np.random.Generator) -> str:
    one, other = pick(NAMES, rng), pick(NAMES, rng)
    said = []
    for prompt in _chats(int(rng.integers(1, 4)), rng):
        said += [f"{one} : {prompt.text}", f"{other} : {demonstration(prompt, rng)}"]
    return " ".join(said)


def _chats(n: int, rng: np.random.Generator) -> list[Prompt]:
    found: list[Prompt] = []
    while len(found) < n:
        found += [prompt for prompt in prompts(8, rng) if prompt.kind == "chat"]
    return found[:n]


def _instructions(rng: np.random.Generator) -> str:
    asked = [prompt.text for prompt in prompts(int(rng.integers(2, 6)), rng)]
    head = pick(("", "", "homework :", "exercise :", "new task :", "instruction :"), rng)
    if rng.random() < 0.4:
        asked = [f"{pick(('task', 'exercise', 'question'), rng)} {NUMBERS[i]} : {text}" for i, text in enumerate(asked)]
    return " ".join(f"{head} {' '.join(asked)}".split())


def _forum(rng: np.random.Generator) -> str:
    said = []
    for _ in range(int(rng.integers(2, 6))):
        user = pick(NAMES, rng)
        form = rng.random()
        post = prompts(1, rng)[0].text if form < 0.4 else pick(_NOISE, rng) + " ."
        said.append(f"user {user} posted : {post}" if rng.random() < 0.7 else post)
    return " ".join(said)


def _answers(rng: np.random.Generator) -> str:
    pairs = prompts(int(rng.integers(2, 5)), rng)
    return " ".join(f"{QUESTION} {prompt.text} {ANSWER} {demonstration(prompt, rng)}" for prompt in pairs)


_MAKERS = {"story": _story, "facts": _facts, "dialogue": _dialogue, "list": _list, "instructions": _instructions,
           "forum": _forum, "answers": _answers}  # fmt: skip
