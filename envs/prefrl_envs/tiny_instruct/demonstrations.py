"""How a competent, not quite perfect writer answers a prompt."""

from typing import Any

import numpy as np

from prefrl_envs.tiny_instruct.clauses import (
    HOLE,
    Clause,
    ask,
    kind_phrase,
    noun_phrase,
    place_phrase,
    say,
    verb_phrase,
)
from prefrl_envs.tiny_instruct.lexicon import MASS, NAMES, PLACES, THINGS, category
from prefrl_envs.tiny_instruct.prompts import Prompt
from prefrl_envs.tiny_instruct.reading import Reading
from prefrl_envs.tiny_instruct.stories import invent, narrate, pick
from prefrl_envs.tiny_instruct.tasks import Task, avoided, understand
from prefrl_envs.tiny_instruct.truth import (
    answers,
    demands,
    extracted,
    fact_answers,
    facts,
    rewritten,
    right_labels,
    true_members,
)

_SLIP = 0.05  # how often the writer makes a small mistake: a word left out
_TRIES = 40


def demonstration(prompt: Prompt, rng: np.random.Generator) -> str:
    """A good answer, another one for another state of `rng`; now and then a word is missing."""
    said = answer(understand(prompt.text), rng).split()
    if rng.random() < _SLIP and len(said) > 4:
        del said[int(rng.integers(1, len(said) - 1))]
    return " ".join(said)


def answer(task: Task, rng: np.random.Generator) -> str:
    """A right answer to a task."""
    if task.kind == "closed" and task.question is not None:
        return _closed(task.question, answers(task.question, task.paragraph), rng)
    if task.kind == "classify":
        return _label(task, rng)
    if task.kind == "extract":
        return _series(list(extracted(task.text, task.group)), "", rng)
    if task.kind == "summarize":
        return _summary(task.paragraph, rng)
    if task.kind == "rewrite":
        return _rewritten(task)
    if task.kind == "chat":
        return _reply(task, rng)
    if task.core == "list":
        return _listed(task, rng)
    if task.core == "describe":
        return _description(task, rng)
    return _story(task, rng) if task.core == "story" else "i do not know ."


def _series(items: list[str], det: str, rng: np.random.Generator) -> str:
    said = [" ".join(noun_phrase(item, det)) for item in items]
    if len(said) == 1:
        return f"{said[0]} ."
    return f"{' , '.join(said[:-1])} and {said[-1]} ."


def _closed(question: Clause, right: tuple[frozenset[str], ...], rng: np.random.Generator) -> str:
    if not right:
        return "i do not know ."
    named = sorted(right[int(rng.integers(len(right)))])
    if named[0] in ("yes", "no"):
        return f"{named[0]} ."
    if rng.random() < 0.5 or len(named) > 1:
        filled: dict[str, Any] = {}
        for part in ("subject", "object", "target", "place", "traits"):
            value = getattr(question, part)
            if value in (HOLE, (HOLE,)):
                filled[part] = tuple(named) if isinstance(value, tuple) else named[0]
        if "place" in filled and category(named[0]) == "container":
            filled = {"place": "", "target": named[0]}
        return " ".join([*say(question._replace(**filled)), "."])
    if named[0] in PLACES:
        return " ".join([*place_phrase(named[0]), "."])
    return " ".join([*(noun_phrase(named[0]) if named[0] in THINGS else [named[0]]), "."])


def _label(task: Task, rng: np.random.Generator) -> str:
    labels = right_labels(task)
    if not labels:
        return "i do not know ."
    subject = " ".join(kind_phrase(task.noun)) if task.noun and rng.random() < 0.5 else "it"
    return f"{subject} is {labels[0]} ." if rng.random() < 0.5 else f"{labels[0]} ."


def _summary(paragraph: Reading, rng: np.random.Generator) -> str:
    events = paragraph.flat
    hero = events[0].subject
    mine = [event for event in events if event.subject == hero]
    chosen = [mine[0], mine[-1]] if len(mine) > 1 else [events[0], events[-1]]
    if len(mine) > 2 and rng.random() < 0.5:
        chosen[0] = mine[int(rng.integers(len(mine) - 1))]
    plain = [event._replace(det="a" if i == 0 else "the", traits=event.traits if event.verb == "be" else ())
             for i, event in enumerate(chosen)]  # fmt: skip
    if plain[0] == plain[-1]:
        return " ".join([*say(plain[0]), "."])
    subject = plain[-1].subject
    shared = plain[0].subject == subject and subject[0] in NAMES  # said once
    return " ".join([*say(plain[0]), "and", *(verb_phrase if shared else say)(plain[-1]), "."])


def _rewritten(task: Task) -> str:
    sentence = task.paragraph.parsed[0]
    if sentence is None:
        return "i do not know ."
    clause = rewritten(sentence.clauses[0], task.transform)
    return " ".join([*ask(clause), "?"] if "question" in task.transform else [*say(clause), "."])


def _reply(task: Task, rng: np.random.Generator) -> str:
    said = []
    wanted = demands(task.message)
    user = next(
        (
            word
            for piece in task.message
            if piece[:2] in (("i", "am"), ("my", "name"))
            for word in piece
            if word in NAMES
        ),
        "",
    )
    if rng.random() < 0.6 and not any(demand.kind == "bye" for demand in wanted):
        said.append(pick([f"hello {user} ." if user else "hello .", f"hi {user} !" if user else "hi !"], rng))
    for demand in wanted:
        if demand.kind == "bad":
            about = (
                [f"i am sorry about your {demand.thing} ."]
                if demand.thing
                else [f"i am sorry that you feel {demand.feeling} ."]
            )
            said.append(pick(["i am so sorry .", "that is very sad .", *about, *about], rng))
            said += [pick(["i hope you feel better soon .", "can i help you ?"], rng)] if rng.random() < 0.6 else []
        elif demand.kind == "good":
            about = [f"i hope you like your {demand.thing} ."] if demand.thing else []
            about += [f"what a nice {demand.thing} !"] if category(demand.thing) in _NICE else []
            said.append(pick(["that is great !", "i am very happy for you .", *about], rng))
        elif demand.kind == "fact" and demand.question is not None:
            said.append(_fact(demand.question, rng))
        elif demand.kind in _SAID:
            said.append(pick(_SAID[demand.kind], rng))
    return " ".join(said or ["hello !"])


def _fact(question: Clause, rng: np.random.Generator) -> str:
    right = fact_answers(question)
    if not right:
        return "i do not know ."
    named = sorted(right[int(rng.integers(len(right)))])[0]
    if named in ("yes", "no"):
        return f"{named} ."
    if named in PLACES:
        return " ".join([*say(question._replace(place=named)), "."])
    filled = question._replace(object=named, det="" if named in MASS else "a")
    return " ".join([*(say(filled) if rng.random() < 0.5 else kind_phrase(named)), "."])


_NICE = ("toy", "garment", "instrument", "vehicle", "flower", "print", "container")
_SAID = {
    "well": ("i am fine , thank you .", "i am very well ."),
    "welcome": ("you are welcome .", "you are very welcome !"),
    "bye": ("goodbye .", "bye !", "good night ."),
}


def _listed(task: Task, rng: np.random.Generator) -> str:
    options = [item for item in true_members(task.group, task.quality) if item != task.avoid]
    chosen = [options[i] for i in rng.permutation(len(options))[: task.number]]
    things = all(item in THINGS for item in chosen)
    return _series(chosen, "a" if things and rng.random() < 0.4 else "", rng) if chosen else "i do not know ."


def _description(task: Task, rng: np.random.Generator) -> str:
    known = facts(task.noun)
    count = min(task.limit or 3, int(rng.integers(2, 4)), len(known))
    chosen = [known[i] for i in sorted(rng.permutation(len(known))[:count])]
    told = []
    for i, fact in enumerate(chosen):
        short = fact
        if i and fact.subject == (task.noun,):
            short = fact._replace(subject=("it",))
        told.append(" ".join([*say(short), "."]))
    return " ".join(told)


def _story(task: Task, rng: np.random.Generator) -> str:
    people = [who for who in task.topic if who in NAMES]
    others = [what for what in task.topic if what not in NAMES]
    able = people or [what for what in others if category(what) in ("animal", "bird")]
    hero, friend = able[0] if able else "", people[1] if len(people) > 1 else ""
    thing = next((what for what in others if what != hero), "")
    wanted = {*task.topic, *([task.place] if task.place else [])}
    tales = []
    for _ in range(_TRIES):
        events = invent(rng, hero=hero, friend=friend, thing=thing, place=task.place)
        told = narrate(events, rng, joined=0.9 if task.limit else 0.3)
        long = bool(task.limit) and told.count(".") > task.limit
        faults = long + avoided(task, " ".join(told)) + len(wanted - set(told))
        if not faults:
            return " ".join(told)
        tales.append((faults, " ".join(told)))
    best = min(tales)[1]  # as near as it comes
    return " . ".join(best.split(" . ")[: task.limit or None]).removesuffix(" .") + " ."
