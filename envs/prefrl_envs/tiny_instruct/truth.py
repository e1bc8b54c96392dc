"""What is right: the answers that follow from a paragraph or from the world, for whoever asks, answers or judges."""

from typing import NamedTuple

from prefrl_envs.tiny_instruct.clauses import HOLE, Clause
from prefrl_envs.tiny_instruct.lexicon import (
    BAD_FEELINGS,
    GOOD_FEELINGS,
    MASS,
    PLURAL,
    THINGS,
    category,
    members,
)
from prefrl_envs.tiny_instruct.parsing import parse
from prefrl_envs.tiny_instruct.reading import Reading
from prefrl_envs.tiny_instruct.simulator import covers, true_of
from prefrl_envs.tiny_instruct.tasks import Task

_GOOD = frozenset(["find", "buy", "laugh", "smile", "sing", "dance", "thank", "fix", "give"])
_BAD = frozenset(["lose", "break", "cry"])
_OPPOSITE_TENSE = {"in the past": "past", "in the present": "present", "in the future": "future"}
_COUNTED = (
    "animal",
    "food",
    "fruit",
    "vegetable",
    "tool",
    "toy",
    "garment",
    "flower",
    "vehicle",
    "instrument",
    "print",
)


def true_members(group: str, quality: str = "") -> tuple[str, ...]:
    """The members of a category of which the quality (`are red`, `can fly`, `live in the forest`) is true."""
    found = members(group)
    if not quality:
        return found
    word = quality.split()[-1]
    kept = []
    for noun in found:
        thing = THINGS.get(noun)
        if thing is None:
            continue
        if quality.startswith("are"):
            fits = word in (thing.color, thing.trait)
        else:
            fits = thing.skill == word if quality.startswith("can") else bool(thing.skill) and thing.place == word
        if fits:
            kept.append(noun)
    return tuple(kept)


def extracted(text: str, group: str) -> tuple[str, ...]:
    """The members of a category (or `thing`: anything that is no person and no place) that a text names, in order."""
    inside = THINGS if group == "thing" else frozenset(members(group))
    return tuple(dict.fromkeys(word for word in text.split() if word in inside))


def mood(reading: Reading) -> int:
    """Above 0 for a text in which good things happen last, below for bad ones, 0 if it is not clear."""
    score = 0
    for clause in reading.flat:
        good = clause.verb in _GOOD or any(trait in GOOD_FEELINGS for trait in clause.traits)
        bad = clause.verb in _BAD or any(trait in BAD_FEELINGS for trait in clause.traits)
        if good != bad and not clause.negated:
            score = (score + 1 if score > 0 else 1) if good else (score - 1 if score < 0 else -1)
    return score


def subjects(text: str) -> tuple[str, ...]:
    """The categories, in the plural, that a text is about."""
    kinds = {category(word) for word in text.split()}
    if kinds & {"bird", "insect"}:
        kinds.add("animal")
    if kinds & {"fruit", "vegetable"}:
        kinds.add("food")
    return tuple(PLURAL[kind] for kind in _COUNTED if kind in kinds and kind in PLURAL)


def right_labels(task: Task) -> tuple[str, ...]:
    """Which of the two labels are true: mostly one, but there may be none."""
    return tuple(label for label in task.labels if _is_label(task, label.split()[-1]))


def _is_label(task: Task, word: str) -> bool:
    if task.noun:
        thing = THINGS[task.noun]
        kinds = {thing.category} | ({"food"} if thing.category in ("fruit", "vegetable") else set())
        kinds |= {"animal"} if thing.category in ("bird", "insect") else set()
        return word in kinds | {thing.color, thing.trait}
    if word in ("happy", "sad"):
        tone = mood(task.paragraph)
        return tone > 0 if word == "happy" else tone < 0
    return word in subjects(task.text)


def answers(question: Clause, reading: Reading) -> tuple[frozenset[str], ...]:
    """All right answers to a question about a paragraph, each as the set of words that it must name."""
    world, found = reading.world, list[frozenset[str]]()
    gap = next((part for part in ("subject", "object", "target", "place", "traits") if _asks(question, part)), "")
    if not gap:
        return (frozenset({"yes" if world.supports(question) else "no"}),)
    if question.verb == "have" and gap == "subject":
        found.append(frozenset({world.holder.get(question.object, "")}))
    elif question.verb == "have" and gap == "object":
        found += [frozenset({what}) for what, who in world.holder.items() if who == question.subject[0]]
    elif question.verb == "be" and gap == "place":
        who = question.subject[0]
        spots = {world.where(who), world.holder.get(who, "")}
        found += [frozenset({spot}) for spot in sorted(spots) if category(spot) in ("place", "container")]
    for event in world.events:
        open_ = question._replace(**{gap: getattr(event, gap)})
        if gap == "place" and not event.place and event.target:
            open_ = open_._replace(place="", target=event.target)
        if covers(event, open_):
            value = getattr(open_, gap) or open_.target
            found.append(frozenset(value) if isinstance(value, tuple) else frozenset({value}))
    return tuple(answer for answer in found if answer and "" not in answer)


def _asks(question: Clause, part: str) -> bool:
    return HOLE in (value if isinstance(value := getattr(question, part), tuple) else (value,))


def rewritten(clause: Clause, transform: str) -> Clause:
    """The clause as a rewriting wants it; the form of a question is not part of a clause."""
    if transform in _OPPOSITE_TENSE:
        return clause._replace(tense=_OPPOSITE_TENSE[transform])
    if transform.startswith("with"):
        new, old = transform.split()[1], transform.split()[-1]
        swap = {old: new}
        return clause._replace(
            subject=tuple(swap.get(one, one) for one in clause.subject),
            **{
                part: swap.get(value, value)
                for part in ("object", "target", "company")
                if (value := getattr(clause, part))
            },
        )
    return clause._replace(negated=True) if "negative" in transform else clause


class Demand(NamedTuple):
    """What a sentence of a chat wants to hear."""

    kind: str  # bad | good | well | welcome | bye | fact | greet
    thing: str = ""  # what the news is about
    feeling: str = ""  # how the person feels
    question: Clause | None = None


def demands(message: tuple[tuple[str, ...], ...]) -> list[Demand]:
    """What the sentences of a chat want to hear, in their order."""
    found = []
    for sentence in message:
        parsed = parse(sentence)
        if parsed is None:
            continue
        if parsed.form == "act":
            kind = {"greet": "greet", "bye": "bye", "thank": "welcome", "ask-well": "well"}.get(parsed.act)
            found += [Demand(kind)] if kind else []
        elif parsed.form == "question" and parsed.clauses[0].owner == "a":
            found.append(Demand("fact", question=parsed.clauses[0]))
        elif parsed.form == "clause":
            found += _news(parsed.clauses)
    return found


def _news(clauses: tuple[Clause, ...]) -> list[Demand]:
    feeling = next(
        (trait for clause in clauses for trait in clause.traits if trait in (*GOOD_FEELINGS, *BAD_FEELINGS)), ""
    )
    thing = next((clause.object for clause in clauses if clause.object in THINGS), "")
    verbs = {clause.verb for clause in clauses}
    if feeling in BAD_FEELINGS or verbs & (_BAD | {"take"}):
        return [Demand("bad", thing, feeling)]
    if feeling or verbs & _GOOD:
        return [Demand("good", thing, feeling)]
    return []


_USES = {
    "fruit": "eat", "vegetable": "eat", "food": "eat", "beverage": "drink", "garment": "wear", "print": "read",
    "vehicle": "ride", "tool": "use", "container": "open", "toy": "buy", "flower": "find",
}  # what one does with a thing of a category  # fmt: skip


def facts(noun: str) -> list[Clause]:
    """All that the world knows of a kind of thing."""
    thing = THINGS[noun]
    of = Clause((noun,), "be", tense="present", owner="a", det="a")
    found = [of._replace(traits=(thing.color,)), of._replace(traits=(thing.trait,))]
    if thing.category in PLURAL:
        found.append(of._replace(object=thing.category))
    found.append(of._replace(verb="live" if thing.skill else "be", place=thing.place))
    if thing.skill:
        food = of._replace(verb="eat", object=thing.food, det="" if thing.food in MASS else "a")
        found += [food, of._replace(verb=thing.skill, tense="can")]
    use = _USES.get(thing.category)
    if use:
        found.append(Clause(("you",), use, noun, tense="can", det="" if noun in MASS else "a"))
    assert all(true_of(fact) for fact in found), noun
    return found


def fact_answers(question: Clause) -> tuple[frozenset[str], ...]:
    """All right answers to a question about a kind of thing, each as the set of words that it must name."""
    known = facts(question.subject[0]) if question.subject[0] in THINGS else []
    if HOLE not in (question.object, question.place, *question.traits):
        return (frozenset({"yes" if true_of(question) else "no"}),)
    if question.place == HOLE:
        return tuple(frozenset({fact.place}) for fact in known if fact.place)
    if question.traits == (HOLE,):
        return tuple(frozenset(fact.traits) for fact in known if fact.traits)
    return tuple(frozenset({fact.object}) for fact in known if fact.object and fact.verb == question.verb)
