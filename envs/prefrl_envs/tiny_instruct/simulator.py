"""Follows a text: who is where, who has what, what is eaten, and where the text contradicts itself or the world."""

from typing import Any

from prefrl_envs.tiny_instruct.clauses import HOLE, Clause
from prefrl_envs.tiny_instruct.lexicon import (
    BAD_FEELINGS,
    COLORS,
    FEELINGS,
    GOOD_FEELINGS,
    NAMES,
    PLACES,
    THINGS,
    VERBS,
    WOMEN,
    category,
)

_LIVING = ("person", "animal", "bird", "insect")
_TAKING = ("take", "find", "buy", "hold", "have")
_USING = ("use", "read", "wear", "clean", "paint", "fix", "open", "close", "eat", "drink", "cook", "break")
_OTHER_WAY = dict.fromkeys(GOOD_FEELINGS, BAD_FEELINGS) | dict.fromkeys(BAD_FEELINGS, GOOD_FEELINGS)
_WOMEN = frozenset(WOMEN)
_NAMES = frozenset(NAMES)


class Context:
    """Whom `she`, `he`, `it` and `they` mean: who was named last."""

    def __init__(self) -> None:
        self.meant: dict[str, tuple[str, ...]] = {}

    def resolve(self, clause: Clause) -> Clause | None:
        """The clause with names for pronouns, or None if a pronoun means nobody. First and second person stay."""
        subject = clause.subject
        if len(subject) == 1 and subject[0] in ("she", "he", "it", "they"):
            if subject[0] not in self.meant:
                return None
            subject = self.meant[subject[0]]
        self._note(subject)
        found = dict[str, Any]()
        for part in ("object", "target", "company"):
            word = getattr(clause, part)
            if word in ("she", "he", "it"):
                if word not in self.meant:
                    return None
                found[part] = self.meant[word][0]
            elif word == "they":
                if "they" not in self.meant:
                    return None
                found[part] = self.meant["they"][0]
            if word and part != "target":
                self._note((found.get(part, word),))
            elif word in _NAMES:
                self._note((word,))
        return clause._replace(subject=subject, **found)

    def understand(self, clauses: tuple[Clause, ...]) -> list[Clause | None]:
        """The clauses of one sentence; a pronoun that is the subject of several means the same all along."""
        found: list[Clause | None] = []
        meant: dict[tuple[str, ...], tuple[str, ...]] = {}
        for clause in clauses:
            resolved = self.resolve(clause._replace(subject=meant.get(clause.subject, clause.subject)))
            if resolved is not None:
                meant[clause.subject] = resolved.subject
            found.append(resolved)
        return found

    def _note(self, nouns: tuple[str, ...]) -> None:
        if len(nouns) > 1:
            self.meant["they"] = nouns
        for noun in nouns:
            if noun in _NAMES:
                self.meant["she" if noun in _WOMEN else "he"] = (noun,)
            elif noun in THINGS:
                self.meant["it"] = (noun,)


class World:
    """What is so after the clauses that were told, in their order."""

    def __init__(self) -> None:
        self.at: dict[str, str] = {}  # person or animal: place
        self.holder: dict[str, str] = {}  # thing: who has it, or the place or container that it is in; "" if lost
        self.feels: dict[str, tuple[str, ...]] = {}
        self.colors: dict[str, str] = {}
        self.gone: set[str] = set()
        self.events: list[Clause] = []

    def tell(self, clause: Clause) -> list[str]:
        """Take the clause in; its names of contradictions with what was told before, or with sense."""
        problems = self._sense(clause)
        if clause.tense in ("future", "can") or HOLE in (clause.object, *clause.subject):
            return problems
        self.events.append(clause)
        if clause.owner == "a" and clause.tense == "present":  # a general truth is no event
            return problems + ([] if true_of(clause) in (True, None) else ["world"])
        for who in clause.subject:
            problems += self._happens(who, clause)
        return problems

    @staticmethod
    def _sense(clause: Clause) -> list[str]:
        verb, problems = VERBS[clause.verb], []
        takes = verb.takes
        kind = category(clause.object)
        if (
            (takes and kind and kind not in takes)
            or (verb.frame == "person" and kind and kind not in _LIVING)
            or (clause.verb == "eat" and kind in _LIVING and category(clause.subject[0]) in ("person", ""))
        ):
            problems.append("sense")
        subject = category(clause.subject[0])
        if verb.frame != "be" and subject and subject not in _LIVING:
            problems.append("sense")
        if verb.frame == "be" and any(trait in FEELINGS for trait in clause.traits) and subject not in (*_LIVING, ""):
            problems.append("sense")
        if verb.frame == "be" and clause.object and subject == "person" and clause.object not in ("person",):
            problems += [] if category(clause.object) == "job" else ["sense"]
        if {clause.object, clause.target, clause.company} & set(clause.subject):
            problems.append("self")
        return problems

    def _happens(self, who: str, clause: Clause) -> list[str]:
        verb, thing, problems = clause.verb, clause.object, []
        frame = VERBS[verb].frame
        if clause.negated:
            return self._denied(who, clause)
        if frame == "be":
            problems += self._state(who, clause)
        elif frame not in ("to", "bring") and clause.place and frame != "put" and clause.verb not in ("want", "need"):
            problems += self._stand(who, clause.place)
        if thing in self.gone:
            problems.append("gone")
        held = self.holder.get(thing)
        if frame in ("give", "put", "bring") or verb in ("lose", "drop", *_USING):
            if (held in _NAMES and held != who) or (held == "" and verb != "lose"):
                problems.append("holder")
        elif verb in _TAKING and verb != "buy" and held in _NAMES and held != who:
            problems.append("holder")
        problems += self._effect(who, clause)
        return problems

    def _effect(self, who: str, clause: Clause) -> list[str]:
        verb, thing = clause.verb, clause.object
        frame, problems = VERBS[verb].frame, []
        if frame in ("to", "bring"):
            self.at[who] = clause.place
        if verb in _TAKING:
            if self.holder.get(thing) in PLACES and who in self.at and self.at[who] != self.holder[thing]:
                problems.append("place")
            self.holder[thing] = who
        elif verb == "lose":
            self.holder[thing] = ""
        elif verb == "drop" or frame == "put":
            self.holder[thing] = clause.target or clause.place or self.at.get(who, "")
            if frame == "put" and clause.place:
                problems += self._stand(who, clause.place)
        elif frame == "give":
            problems += self._together(who, clause.target)
            if verb != "show":
                self.holder[thing] = clause.target
        elif frame == "bring":
            self.holder[thing] = who
        elif verb in ("eat", "drink"):
            if thing in THINGS:
                self.gone.add(thing)
        elif frame == "person" and verb != "call":
            if verb in ("visit", "follow") or (verb == "meet" and not clause.place):
                if thing in self.at:
                    self.at[who] = self.at[thing]
            else:
                problems += self._together(who, thing)
        if clause.company:
            problems += self._together(who, clause.company)
        return problems

    def _stand(self, who: str, place: str) -> list[str]:
        problem = ["place"] if self.at.get(who, place) != place else []
        self.at[who] = place
        return problem

    def _together(self, one: str, other: str) -> list[str]:
        if one in self.at and other in self.at:
            return ["place"] if self.at[one] != self.at[other] else []
        for here, there in ((one, other), (other, one)):
            if here in self.at:
                self.at[there] = self.at[here]
        return []

    def _state(self, who: str, clause: Clause) -> list[str]:
        problems = []
        if clause.place:
            if category(who) in _LIVING:
                problems += self._stand(who, clause.place)
            elif self.holder.get(who, clause.place) not in (clause.place, *_NAMES):
                problems.append("place")
            else:
                self.holder.setdefault(who, clause.place)
        if clause.target:
            if self.holder.get(who, clause.target) != clause.target:
                problems.append("place")
            self.holder[who] = clause.target
        for trait in clause.traits:
            if trait in COLORS:
                if self.colors.setdefault(who, trait) != trait:
                    problems.append("color")
            elif trait in FEELINGS:
                opposite = _OTHER_WAY.get(trait, ())
                if any(other in clause.traits for other in opposite):
                    problems.append("feeling")
        if any(trait in FEELINGS for trait in clause.traits):
            self.feels[who] = clause.traits
        return problems

    def _denied(self, who: str, clause: Clause) -> list[str]:
        """A negated clause contradicts a state that holds or an event that was told."""
        same = clause._replace(negated=False)
        if clause.verb == "have":
            return ["holder"] if self.holder.get(clause.object) == who else []
        if clause.verb == "be":
            wrong = (clause.place and self.at.get(who) == clause.place) or (
                clause.traits and set(clause.traits) <= set(self.feels.get(who, ()))
            )
            return ["feeling"] if wrong else []
        return ["denied"] if any(covers(event, same) for event in self.events[:-1]) else []

    def where(self, what: str) -> str:
        """The place or container of a thing, person or animal, or nothing if it is not known."""
        if what in self.at:
            return self.at[what]
        held = self.holder.get(what, "")
        return self.at.get(held, "") if held in _NAMES else held

    def supports(self, clause: Clause) -> bool:
        """Whether the clause was told, or is so now, or is true of the world."""
        if clause.negated:
            return not self.supports(clause._replace(negated=False))
        if any(covers(event, clause) for event in self.events):
            return True
        who = clause.subject[0]
        if clause.verb == "have":
            return all(self.holder.get(clause.object) == one for one in clause.subject)
        if clause.verb == "be":
            if clause.place or clause.target:
                return all(self.where(one) == (clause.place or clause.target) for one in clause.subject)
            if clause.traits and not clause.object:
                known = (*self.feels.get(who, ()), self.colors.get(who, ""))
                return set(clause.traits) <= set(known) or true_of(clause._replace(owner="a")) is True
        return true_of(clause) is True


def covers(event: Clause, claim: Clause) -> bool:
    """Whether the event implies the claim: the same, but the claim may leave out place, company and traits."""
    if event.verb != claim.verb or event.negated != claim.negated or event.object != claim.object:
        return False
    if not set(claim.subject) <= set(event.subject) or (claim.target and event.target != claim.target):
        return False
    if claim.place and claim.place != event.place:
        return False
    if claim.company and claim.company != event.company:
        return False
    return set(claim.traits) <= set(event.traits)


def true_of(clause: Clause) -> bool | None:
    """Whether a general statement about a kind of thing is true, None if the world does not know."""
    thing = THINGS.get(clause.subject[0])
    if clause.subject == ("you",) and clause.tense == "can":
        return _possible(clause) != clause.negated
    if thing is None or clause.owner != "a":
        return None
    truth: bool | None = None
    if clause.verb == "be" and clause.object:
        kinds = {thing.category} | ({"animal"} if thing.category in ("bird", "insect") else set())
        kinds |= {"food"} if thing.category in ("fruit", "vegetable") else set()
        truth = clause.object in kinds and all(trait in (thing.color, thing.trait) for trait in clause.traits)
    elif clause.verb == "be" and clause.traits:
        truth = all(trait in (thing.color, thing.trait) for trait in clause.traits)
    elif clause.verb in ("be", "live") and clause.place:
        truth = clause.place == thing.place and (clause.verb == "be" or bool(thing.skill))
    elif clause.verb == "eat" and thing.food:
        truth = clause.object == thing.food
    elif clause.tense == "can" and thing.skill:
        truth = clause.verb in (thing.skill, "eat", "sleep", "rest") and (clause.verb != "eat" or not clause.object)
    return None if truth is None else truth != clause.negated


def _possible(clause: Clause) -> bool:
    """Whether one can do this with that kind of thing, as in `you can ride a bike`."""
    verb, thing = VERBS[clause.verb], THINGS.get(clause.object)
    fits = not verb.takes or category(clause.object) in verb.takes
    return fits and (not clause.place or (thing is not None and clause.place == thing.place))
