"""Invents what happens: plots of a few events that hang together, and tells them with pronouns and small words."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from prefrl_envs.tiny_instruct.clauses import Clause, say, verb_phrase
from prefrl_envs.tiny_instruct.lexicon import (
    BAD_FEELINGS,
    FIRST_LEADS,
    GOOD_FEELINGS,
    LAST_LEADS,
    MASS,
    MEN,
    NAMES,
    NEXT_LEADS,
    PLACES,
    THINGS,
    TIMES,
    VERBS,
    WOMEN,
    category,
    members,
)
from prefrl_envs.tiny_instruct.simulator import Context, World

CONTAINERS = members("container")
MOVABLE = tuple(n for n, t in THINGS.items() if t.category in VERBS["take"].takes and t.category != "container")
PORTABLE = tuple(noun for noun in MOVABLE if noun not in MASS)  # water in a bag makes no story
WANTED = tuple(n for n, t in THINGS.items() if t.category in VERBS["buy"].takes and t.category != "container")
# What breaks if it falls, and can be fixed.
FRAGILE = (
    "kite", "doll", "robot", "puppet", "bike", "sled", "wagon", "truck", "box", "basket", "bucket", "drawer",
    "chest", "drill", "ladder", "rake", "shovel", "piano", "guitar", "drum", "flute", "violin", "trumpet",
)  # fmt: skip
EATABLE = tuple(n for n, t in THINGS.items() if t.category in ("fruit", "vegetable", "food"))
BEVERAGES = members("beverage")
PETS = tuple(n for n, t in THINGS.items() if t.category in ("animal", "bird"))
# How who gets something feels, and who loses or lacks it; others of these feelings are for other reasons.
_PLEASED = tuple(feeling for feeling in GOOD_FEELINGS if feeling not in ("proud", "calm"))
_DISPLEASED = tuple(feeling for feeling in BAD_FEELINGS if feeling not in ("tired", "scared", "lonely"))


def pick(options: tuple[str, ...] | list[str], rng: np.random.Generator) -> str:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def friend_of(hero: str, rng: np.random.Generator) -> str:
    """A person other than the hero, mostly one for whom another pronoun stands."""
    others = MEN if (hero in WOMEN) == (rng.random() < 0.8) else WOMEN
    return pick([name for name in others if name != hero], rng)


class Cast:
    """Who and what a story is about; what is not given is drawn."""

    def __init__(
        self, rng: np.random.Generator, hero: str = "", friend: str = "", thing: str = "", place: str = ""
    ) -> None:
        self.hero = hero or pick(NAMES, rng)
        self.friend = friend or friend_of(self.hero, rng)
        self.thing = thing or pick(WANTED, rng)
        self.place = place or pick(tuple(PLACES), rng)
        self.given = {"thing": bool(thing), "place": bool(place), "friend": bool(friend)}


def plot(cast: Cast, rng: np.random.Generator) -> list[Clause]:
    """The events of a story in which hero, thing and place that were asked for occur."""
    animal = cast.hero not in NAMES
    fitting = [plan for plan, suits in _PLANS if suits(cast) and (not animal or plan in _FOR_ANIMALS)]
    return list(fitting[int(rng.integers(len(fitting)))](cast, rng))


def _do(hero: str, verb: str, thing: str = "", **more: Any) -> Clause:
    return Clause((hero,), verb, thing, **more)


def _feel(who: str, good: bool, rng: np.random.Generator) -> Clause:
    return _do(who, "be", traits=(pick(_PLEASED if good else _DISPLEASED, rng),))


def _wish(c: Cast, rng: np.random.Generator) -> Iterator[Clause]:
    shop = c.place if c.given["place"] else pick(("market", "shop", "village"), rng)
    yield _do(c.hero, pick(("want", "need"), rng), c.thing, det="a")
    if rng.random() < 0.3:
        yield _do(c.hero, "be", traits=("busy",)) if rng.random() < 0.3 else _feel(c.hero, False, rng)
    yield _do(c.hero, pick(("go", "walk", "run", "hurry"), rng), place=shop)
    if c.given["friend"] or rng.random() < 0.3:
        yield _do(c.hero, "meet", c.friend, place=shop)
    yield _do(c.hero, pick(("buy", "find"), rng), c.thing)
    yield _feel(c.hero, True, rng)


def _lost(c: Cast, rng: np.random.Generator) -> Iterator[Clause]:
    yield _do(c.hero, "have", c.thing, det="a")
    yield _do(c.hero, "lose", c.thing, place=c.place)
    yield _feel(c.hero, False, rng)
    if rng.random() < 0.4:
        yield _do(c.hero, "call", c.friend)
    yield _do(c.friend, "find", c.thing)
    yield _do(c.friend, "give", c.thing, target=c.hero)
    yield _feel(c.hero, True, rng) if rng.random() < 0.6 else _do(c.hero, "thank", c.friend)


def _gift(c: Cast, rng: np.random.Generator) -> Iterator[Clause]:
    yield _do(c.hero, "buy", c.thing, det="a")
    if rng.random() < 0.6 or c.given["place"]:
        yield _do(c.hero, "go", place=c.place)
        yield _do(c.hero, "meet", c.friend, place=c.place)
    else:
        yield _do(c.hero, "visit", c.friend)
    yield _do(c.hero, pick(("give", "show"), rng), c.thing, target=c.friend)
    yield _feel(c.friend, True, rng) if rng.random() < 0.6 else _do(c.friend, "thank", c.hero)


def _hide(c: Cast, rng: np.random.Generator) -> Iterator[Clause]:
    inside = pick(CONTAINERS, rng)
    yield _do(c.hero, "go", place=c.place)
    yield _do(c.hero, pick(("put", "hide", "leave"), rng), c.thing, target=inside, det="a")
    if rng.random() < 0.5:
        yield _do(c.hero, pick(("smile", "laugh", "wait"), rng))
    yield _do(c.friend, pick(("find", "take"), rng), c.thing)
    yield _do(c.friend, "laugh") if rng.random() < 0.4 else _feel(c.friend, True, rng)


def _meal(c: Cast, rng: np.random.Generator) -> Iterator[Clause]:
    food = c.thing if c.given["thing"] else pick((*EATABLE, *BEVERAGES), rng)
    drink = food in BEVERAGES
    yield _do(c.hero, "be", traits=("thirsty" if drink else "hungry",))
    yield _do(c.hero, "go", place=c.place if c.given["place"] else pick(("kitchen", "garden", "market"), rng))
    yield _do(c.hero, pick(("take", "find"), rng), food, det="a")
    yield _do(c.hero, "drink" if drink else "eat", food)
    yield _do(c.hero, "sleep") if rng.random() < 0.3 else _feel(c.hero, True, rng)


def _broken(c: Cast, rng: np.random.Generator) -> Iterator[Clause]:
    thing = c.thing if c.given["thing"] else pick(FRAGILE, rng)
    yield _do(c.hero, "go", place=c.place)
    yield _do(c.hero, "break", thing, det="a")
    yield _do(c.hero, "cry") if rng.random() < 0.3 else _feel(c.hero, False, rng)
    yield _do(c.friend, "fix", thing)
    yield _do(c.hero, "thank", c.friend) if rng.random() < 0.6 else _feel(c.hero, True, rng)


def _trip(c: Cast, rng: np.random.Generator) -> Iterator[Clause]:
    pet = c.thing if c.given["thing"] else pick([p for p in PETS if p != c.hero], rng)
    together = rng.random() < 0.4 or c.given["friend"]
    who = (c.hero, c.friend) if together and c.hero in NAMES else (c.hero,)
    yield Clause(who, pick(("go", "walk", "run"), rng), place=c.place)
    yield Clause(who, "see", pet, det="a", traits=(THINGS[pet].trait,) if pet in PETS and rng.random() < 0.4 else ())
    if c.hero in NAMES and pet in PETS:
        yield _do(c.hero, pick(("feed", "follow", "watch"), rng), pet)
    yield Clause(who, pick(("laugh", "smile", "sing", "dance"), rng))
    if rng.random() < 0.5:
        yield Clause(who, "return", place=pick(("house", "village", "farm"), rng))


def _day(c: Cast, rng: np.random.Generator) -> Iterator[Clause]:
    yield _do(c.hero, pick(("go", "walk", "hurry"), rng), place=c.place)
    yield _do(c.hero, pick(("work", "play", "wait"), rng), place=c.place)
    if c.given["thing"]:
        yield _do(c.hero, "see", c.thing, det="a")
        yield _do(c.hero, pick(("like", "love", "watch"), rng), c.thing)
    tired = rng.random() < 0.5
    yield _do(c.hero, "be", traits=("tired",)) if tired else _feel(c.hero, True, rng)
    yield _do(c.hero, pick(("rest", "sleep") if tired else ("smile", "sing", "dance", "laugh"), rng))


def _moves(c: Cast, rng: np.random.Generator) -> Iterator[Clause]:
    other = pick([place for place in PLACES if place != c.place], rng)
    yield _do(c.hero, "take", c.thing, det="a", place=other)
    yield _do(c.hero, pick(("bring", "carry"), rng), c.thing, place=c.place)
    if rng.random() < 0.5:
        yield _do(c.hero, "give", c.thing, target=c.friend)
        yield _do(c.friend, "put", c.thing, target=pick(CONTAINERS, rng))
    else:
        yield _do(c.hero, pick(("leave", "hide", "put"), rng), c.thing, target=pick(CONTAINERS, rng))
    yield _do(c.hero, pick(("smile", "rest", "sing", "laugh"), rng))


_Plan = Callable[[Cast, np.random.Generator], Iterator[Clause]]
_FOR_ANIMALS: tuple[_Plan, ...] = (_meal, _trip, _day)


_PLANS: tuple[tuple[_Plan, Callable[[Cast], bool]], ...] = (
    (_wish, lambda c: c.thing in WANTED),
    (_lost, lambda c: c.thing in PORTABLE),
    (_gift, lambda c: c.thing in MOVABLE),
    (_hide, lambda c: c.thing in PORTABLE),
    (_moves, lambda c: c.thing in PORTABLE),
    (_meal, lambda c: not c.given["friend"] and (not c.given["thing"] or c.thing in (*EATABLE, *BEVERAGES))),
    (_broken, lambda c: not c.given["thing"] or c.thing in FRAGILE),
    (_trip, lambda c: not c.given["thing"] or c.thing in PETS),
    (_day, lambda c: not c.given["friend"]),
)


def invent(
    rng: np.random.Generator, length: int = 0, *, hero: str = "", friend: str = "", thing: str = "", place: str = ""
) -> list[Clause]:
    """Events without a contradiction about what is given (hero, friend, thing, place), the first `length` if set."""
    while True:
        events = plot(Cast(rng, hero, friend, thing, place), rng)
        world = World()
        if not any(world.tell(event) for event in events):
            return events[:length] if length else events


def narrate(events: list[Clause], rng: np.random.Generator, *, joined: float = 0.3, leads: float = 0.3) -> list[str]:
    """The events in sentences: pronouns for who is known, `a` before what is new, some sentences joined by `and`."""
    context, known, said, open_ = Context(), set[str](), list[list[str]](), False
    last: tuple[str, ...] = ()
    for i, event in enumerate(events):
        clause = _with_determiner(event, known)
        same = event.subject == last
        short = _with_pronouns(clause, context, rng, same)
        if short is None or context_after(context, short) != _key(event):
            short = clause
        context.resolve(short)
        known |= {event.object, event.target, *event.subject}
        if open_ and same and rng.random() < joined:
            said[-1] += ["and", *verb_phrase(short)]
            open_ = False
            continue
        lead = _lead(i, len(events), rng) if rng.random() < leads else []
        said.append([*lead, *say(short)])
        open_, last = True, event.subject
    if rng.random() < 0.15 and " ".join(said[0][:2]) in ("", *(" ".join(say(event)[:2]) for event in events)):
        said[0] += pick(TIMES, rng).split()
    return [word for sentence in said for word in (*sentence, ".")]


def _lead(i: int, n: int, rng: np.random.Generator) -> list[str]:
    return pick(FIRST_LEADS if i == 0 else LAST_LEADS if i == n - 1 else NEXT_LEADS, rng).split()


def context_after(context: Context, clause: Clause) -> tuple[object, ...] | None:
    """What the clause means after all that was said; the context stays as it is."""
    trial = Context()
    trial.meant = dict(context.meant)
    meant = trial.resolve(clause)
    return None if meant is None else _key(meant)


def _key(clause: Clause) -> tuple[object, ...]:
    return clause.subject, clause.verb, clause.object, clause.target, clause.company


def _with_determiner(event: Clause, known: set[str]) -> Clause:
    det, owner = event.det, event.owner
    if event.object and event.verb != "be":
        det = "the" if event.object in known else "a"
    if len(event.subject) == 1 and category(event.subject[0]) in ("animal", "bird", "insect"):
        owner = "the" if event.subject[0] in known else "a"
    return event._replace(det=det, owner=owner)


def _with_pronouns(clause: Clause, context: Context, rng: np.random.Generator, same: bool) -> Clause | None:
    first = clause.subject[0]
    if len(clause.subject) > 1:
        pronoun = "they" if same else ""
    else:
        pronoun = "she" if first in WOMEN else "he" if first in MEN else "it" if same else ""
    if pronoun and context.meant.get(pronoun) == clause.subject and rng.random() < (0.65 if same else 0.2):
        clause = clause._replace(subject=(pronoun,))
    if clause.object and context.meant.get("it") == (clause.object,) and rng.random() < 0.45:
        clause = clause._replace(object="it", traits=())
    return clause
