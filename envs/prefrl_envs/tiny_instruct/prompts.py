"""Invents prompts: customers with templates of their own ask for ten kinds of things."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from prefrl_envs.tiny_instruct.clauses import HOLE, Clause, ask, kind_phrase, noun_phrase, place_phrase, say
from prefrl_envs.tiny_instruct.lexicon import (
    COLORS,
    MEN,
    NAMES,
    NUMBERS,
    PLACES,
    PLURAL,
    THINGS,
    TRAITS,
    VERBS,
    WOMEN,
    category,
    members,
)
from prefrl_envs.tiny_instruct.reading import read
from prefrl_envs.tiny_instruct.stories import FRAGILE, PETS, WANTED, invent, narrate, pick
from prefrl_envs.tiny_instruct.tasks import GRAMMAR, GROUPS, KINDS, SINGULAR
from prefrl_envs.tiny_instruct.truth import answers, extracted, mood, subjects, true_members

Split = Literal["train", "validation", "test"]
CUSTOMERS = 80
_TEMPLATES_EACH = 2  # of every kind, for each customer
_SEED = 20220304  # of the customers, who are the same in every run


@dataclass(frozen=True)
class Prompt:
    """What a customer asks."""

    text: str
    kind: str  # one of KINDS
    customer: str
    split: Split


class Customer(NamedTuple):
    """Whoever sends prompts: always in the same few forms, and some kinds more often than others."""

    name: str
    split: Split
    templates: dict[str, tuple[str, ...]]  # kind: phrases with open slots
    shares: tuple[float, ...]  # how often each of KINDS


def split_of_customer(number: int) -> Split:
    """Seven of ten customers are for training, one is for validation, two are for the test."""
    return "train" if number % 10 < 7 else "validation" if number % 10 == 7 else "test"


def split_of_content(kind: str, content: dict[str, str]) -> Split:
    """What is asked about belongs to one split too, whoever asks: by its hash, 7 : 1 : 2."""
    key = " ".join([kind, *(content[slot] for slot in sorted(content))])
    return split_of_customer(zlib.crc32(key.encode()) % 10)


@lru_cache(maxsize=1)
def customers() -> tuple[Customer, ...]:
    """All customers; no template belongs to two of them."""
    rng, used, found = np.random.default_rng(_SEED), set[str](), []
    for number in range(CUSTOMERS):
        templates = {}
        for kind in KINDS:
            mine: list[str] = []
            while len(mine) < _TEMPLATES_EACH:
                template = _template(kind, rng)
                if template not in used:
                    used.add(template)
                    mine.append(template)
            templates[kind] = tuple(mine)
        shares = tuple(rng.dirichlet(np.full(len(KINDS), 3.0)).tolist())
        found.append(Customer(f"customer-{number:02d}", split_of_customer(number), templates, shares))
    return tuple(found)


def _template(kind: str, rng: np.random.Generator) -> str:
    if kind in ("closed", "chat"):
        return GRAMMAR.sample(kind, rng)
    if kind in ("rewrite", "extract", "summarize"):
        return GRAMMAR.sample("with-text", rng).replace("TASK", GRAMMAR.sample(f"{kind}-task", rng))
    if kind == "classify":
        if rng.random() < 0.5:
            return GRAMMAR.sample("with-text", rng).replace("TASK", GRAMMAR.sample("classify-task", rng))
        if rng.random() < 0.5:
            return GRAMMAR.sample("is-it", rng)
        return GRAMMAR.sample("do", rng).replace("TASK", GRAMMAR.sample("choose-task", rng))
    cores = {"story": ["story-about"], "list": ["list-task"], "limit": ["story-about", "describe"]}
    core = GRAMMAR.sample(pick(cores.get(kind, ["story-about", "list-task"]), rng), rng)
    if kind == "limit":
        core = f"{core} {GRAMMAR.sample('at-most', rng).replace('NUMBER', 'LIMIT')}"
    elif kind == "avoid":
        core = f"{core} {GRAMMAR.sample('but-not', rng)}"
    return GRAMMAR.sample("do", rng).replace("TASK", core)


def prompts(n: int, rng: np.random.Generator, split: Split = "train") -> list[Prompt]:
    """n prompts of customers of one split, about what no other split asks about."""
    return [draw(rng, split)[0] for _ in range(n)]


def draw(rng: np.random.Generator, split: Split) -> tuple[Prompt, dict[str, str]]:
    """One prompt, and what its template's slots were filled with."""
    crowd = [customer for customer in customers() if customer.split == split]
    customer = crowd[int(rng.integers(len(crowd)))]
    kind = KINDS[int(rng.choice(len(KINDS), p=customer.shares))]
    template = pick(customer.templates[kind], rng)
    content = _content(kind, template, rng)
    while split_of_content(kind, content) != split:
        content = _content(kind, template, rng)
    return Prompt(fill(template, content), kind, customer.name, split), content


def fill(template: str, content: dict[str, str]) -> str:
    """The template with its slots filled."""
    return " ".join(" ".join(content.get(word, word) for word in template.split()).split())


def _content(kind: str, template: str, rng: np.random.Generator) -> dict[str, str]:
    slots, found = set(template.split()), dict[str, str]()
    if kind in ("rewrite", "extract", "summarize", "closed", "chat"):
        makers: dict[str, Callable[[np.random.Generator], dict[str, str]]] = {
            "rewrite": _rewrite, "extract": _extract, "summarize": _summarize, "closed": _closed, "chat": _chat,
        }  # fmt: skip
        return makers[kind](rng)
    if kind == "classify":
        return _classify_text(rng) if "TEXT" in slots else _classify_noun(rng)
    if "TOPIC" in slots:
        found["TOPIC"] = _topic(rng)
    if "NOUN" in slots:
        found["NOUN"] = " ".join(kind_phrase(pick(tuple(THINGS), rng)))
    if "GROUP" in slots:
        found |= _list(rng, qualified="QUALITY" in slots, spared="AVOID" in slots)
    if "LIMIT" in slots:
        found["LIMIT"] = pick(NUMBERS[1:3] if "TOPIC" in slots else NUMBERS[:3], rng)
        if found["LIMIT"] != "one":
            found["sentence"] = "sentences"
        else:
            found["sentences"] = "sentence"
    if "AVOID" in slots:
        found["AVOID"] = _avoid(found, rng)
    return found


def _topic(rng: np.random.Generator) -> str:
    hero, friend = pick(NAMES, rng), pick(NAMES, rng)
    while friend == hero:
        friend = pick(NAMES, rng)
    thing, pet = " ".join(noun_phrase(pick(WANTED, rng), "a")), " ".join(noun_phrase(pick(PETS, rng), "a"))
    where = " ".join(place_phrase(pick(tuple(PLACES), rng)))
    forms = (hero, f"{hero} and {thing}", f"{hero} and {thing}", f"{hero} and {friend}", f"{hero} and {pet}",
             f"{hero} {where}", pet, f"{pet} {where}", f"{hero} and {thing} {where}",
             f"{hero} and {friend} {where}")  # fmt: skip
    return pick(forms, rng)


def _list(rng: np.random.Generator, *, qualified: bool, spared: bool) -> dict[str, str]:
    while True:
        group = pick(list(PLURAL), rng)
        quality = ""
        if qualified and group in ("animal", "bird", "insect") and rng.random() < 0.5:
            quality = pick(
                [f"that can {skill}" for skill in ("fly", "swim", "run", "climb", "walk", "jump")]
                + [
                    "that live " + " ".join(place_phrase(place)) for place in ("farm", "forest", "lake", "zoo", "field")
                ],
                rng,
            )
        elif qualified and group not in ("job", "color", "room", "place", "name") and rng.random() < 0.5:
            quality = f"that are {pick((*COLORS, *TRAITS), rng)}"
        most = min(5, len(true_members(group, quality.removeprefix("that "))) - spared)
        if most >= 2:
            number = int(rng.integers(2, most + 1))
            return {"NUMBER": NUMBERS[number - 1], "GROUP": PLURAL[group], "QUALITY": quality}


def _avoid(content: dict[str, str], rng: np.random.Generator) -> str:
    if "GROUP" in content:
        group = next(group for group, plural in PLURAL.items() if plural == content["GROUP"])
        return pick(true_members(group, content["QUALITY"].removeprefix("that ")), rng)
    topic = set(content["TOPIC"].split())
    while True:
        form = int(rng.integers(4))
        if form == 0:
            kind = pick(("color", "animal", "food", "toy", "tool"), rng)
            if not topic & set(members(kind)):
                return f"any {kind}"
        noun = pick(tuple(PLACES) if form == 1 else WANTED if form == 2 else NAMES, rng)
        if form and noun not in topic:
            return noun if noun in NAMES else f"the {noun}"


def _rewrite(rng: np.random.Generator) -> dict[str, str]:
    while True:
        event = invent(rng, length=1)[0] if rng.random() < 0.4 else pick_event(rng)
        if event.verb == "be" and rng.random() < 0.7:
            continue
        form = int(rng.integers(6))
        tense = "present" if form == 0 else "future" if rng.random() < 0.3 and form == 1 else "past"
        hero = event.subject[0]
        text = " ".join([*say(event._replace(tense=tense, det="a" if event.det == "a" else "the")), "."])
        if form == 5:
            new = pick([name for name in (WOMEN if hero in WOMEN else MEN) if name not in text.split()], rng)
            return {"TRANSFORM": f"with {new} in place of {hero}", "TEXT": text}
        transform = ("in the past", "in the present", "in the future", "as a question", "as a negative sentence")[form]
        return {"TRANSFORM": transform, "TEXT": text}


def pick_event(rng: np.random.Generator) -> Clause:
    """Any event of any plot."""
    events = [event for event in invent(rng) if len(event.subject) == 1 and event.subject[0] in NAMES]
    return events[int(rng.integers(len(events)))] if events else pick_event(rng)


def _paragraph(rng: np.random.Generator, *, length: int = 3) -> str:
    return " ".join(narrate(invent(rng, length=length), rng, joined=0.25, leads=0.15))


def _extract(rng: np.random.Generator) -> dict[str, str]:
    while True:
        text = _paragraph(rng)
        group = pick(("names", "names", "places", "things", "animals", "foods", "toys", "tools", "garments"), rng)
        if extracted(text, GROUPS.get(group) or SINGULAR[group]):
            return {"GROUP": "people" if group == "names" and rng.random() < 0.5 else group, "TEXT": text}


def _summarize(rng: np.random.Generator) -> dict[str, str]:
    return {"TEXT": _paragraph(rng, length=int(rng.integers(3, 5)))}


def _closed(rng: np.random.Generator) -> dict[str, str]:
    while True:
        text = _paragraph(rng, length=int(rng.integers(2, 5)))
        asked = _question(text, rng)
        if asked is not None and answers(asked, read(text)):
            return {"TEXT": text, "QUERY": " ".join([*ask(asked), "?"])}


def _question(text: str, rng: np.random.Generator) -> Clause | None:
    reading = read(text)
    events, world = reading.flat, reading.world
    event = events[int(rng.integers(len(events)))]
    form, frame = int(rng.integers(6)), VERBS[event.verb].frame
    plain = event._replace(det="the", owner="the", traits=event.traits if frame == "be" else ())
    if form == 0 and len(event.subject) == 1:
        return plain._replace(subject=(HOLE,), place="" if frame not in ("to", "put", "bring", "be") else plain.place)
    if form == 1 and frame in ("object", "give", "put", "person", "have"):
        return plain._replace(object=HOLE, place="", traits=()) if frame != "put" else plain._replace(object=HOLE)
    if form == 2 and event.place:
        return plain._replace(place=HOLE, company="")
    if form == 3:
        things = [thing for thing in world.holder if thing in THINGS and world.where(thing)]
        people = [who for who in world.at if who in NAMES]
        what = pick(things + people, rng) if things + people else ""
        return Clause((what,), "be", place=HOLE, tense="present") if what else None
    if form == 4 and frame == "give":
        return plain._replace(target=HOLE, place="")
    if form == 5:
        held = [thing for thing, who in world.holder.items() if who in NAMES]
        if held:
            thing = pick(held, rng)
            if rng.random() < 0.5:
                return Clause((HOLE,), "have", thing, tense="present")
            return Clause((world.holder[thing],), "have", HOLE, tense="present")
        if frame == "be" and event.traits:
            return plain._replace(traits=(HOLE,))
    return None


def _classify_noun(rng: np.random.Generator) -> dict[str, str]:
    noun = pick(tuple(THINGS), rng)
    right = category(noun)
    groups = [group for group in PLURAL if group not in ("place", "room", "name", "job", "color")]
    if right not in groups:
        return _classify_noun(rng)
    related = {"fruit", "vegetable", "food"}, {"animal", "bird", "insect"}
    wrong = pick([g for g in groups if g != right and not any(right in r and g in r for r in related)], rng)
    labels = [right, wrong] if rng.random() < 0.5 else [wrong, right]
    a, b = (" ".join(noun_phrase(label, "a")) for label in labels)
    return {"NOUN": " ".join(kind_phrase(noun)), "LABEL": a, "OTHER": b}


def _classify_text(rng: np.random.Generator) -> dict[str, str]:
    while True:
        text = _paragraph(rng, length=int(rng.integers(2, 4)))
        if rng.random() < 0.6:
            if mood(read(text)) != 0:
                labels = ["happy", "sad"] if rng.random() < 0.5 else ["sad", "happy"]
                return {"TEXT": text, "LABEL": labels[0], "OTHER": labels[1]}
            continue
        about = subjects(text)
        others = [
            PLURAL[g]
            for g in ("animal", "tool", "toy", "garment", "flower", "food", "vehicle")
            if PLURAL[g] not in about
        ]
        known = [plural for plural in about if plural not in ("fruits", "vegetables")]
        if known:
            labels = [f"about {pick(known, rng)}", f"about {pick(others, rng)}"]
            first = int(rng.integers(2))
            return {"TEXT": text, "LABEL": labels[first], "OTHER": labels[1 - first]}


def _chat(rng: np.random.Generator) -> dict[str, str]:
    thing, fragile = pick(WANTED, rng), pick(FRAGILE, rng)
    friend, form = pick(NAMES, rng), int(rng.integers(7))
    news: tuple[str, ...] = ()
    if form <= 1:
        news = (f"i lost my {thing} .", f"i broke my {fragile} .", f"i am sad because i lost my {thing} .",
                f"{friend} took my {thing} .", f"{friend} broke my {fragile} .",
                f"i am worried because i lost my {thing} .")  # fmt: skip
    elif form <= 3:
        item = " ".join(noun_phrase(thing, "a"))
        news = (f"i bought {item} .", f"i found my {thing} .", f"{friend} gave {item} to me .",
                f"i am happy because i found my {thing} .",
                f"i am glad because {friend} gave {item} to me .")  # fmt: skip
    elif form == 4:
        mood_ = pick(("sad", "angry", "tired", "scared", "lonely", "happy", "glad", "proud", "excited"), rng)
        news = (f"i am {mood_} today .", f"i am very {mood_} .")
    elif form == 5:
        noun = pick(PETS, rng)
        what = " ".join(kind_phrase(noun))
        news = (f"what does {what} eat ?", f"where does {what} live ?",
        f"can {what} {pick(('fly', 'swim', 'climb'), rng)} ?",
                f"what is {what} ?")  # fmt: skip
    else:
        news = (
            "how are you today ?",
            "thank you for your help .",
            "goodbye .",
            "how are you ?",
            "thank you very much .",
        )
    message = pick(news, rng)
    if rng.random() < 0.5:
        me = pick(NAMES, rng)
        if me not in message.split():
            message = f"{pick(('i am', 'my name is'), rng)} {me} . {message}"
    return {"MESSAGE": message}
