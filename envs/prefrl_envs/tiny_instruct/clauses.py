"""What a sentence says: clauses of who did what, and how they are put into words."""

from typing import NamedTuple

from prefrl_envs.tiny_instruct.lexicon import MASS, NAMES, PLACES, VERBS, article

PLURAL_SUBJECTS = ("we", "you", "they", "i")
OBJECT_FORM = {"she": "her", "he": "him", "they": "them", "i": "me", "we": "us"}
HOLE = "?"  # stands in a question's clause for what is asked


class Clause(NamedTuple):
    """One event or state, such as `anna gave the red ball to ben in the park`."""

    subject: tuple[str, ...]  # one or two names, a noun, or a pronoun
    verb: str  # base form
    object: str = ""  # noun, name or pronoun; for `be` what the subject is
    traits: tuple[str, ...] = ()  # adjectives of the object; for `be` how the subject is
    target: str = ""  # who gets it, or what it is put in
    place: str = ""
    company: str = ""  # with whom
    tense: str = "past"  # past | present | future | can
    negated: bool = False
    det: str = "the"  # the object's determiner: the | a | some | my ...
    owner: str = "the"  # the subject's determiner, for a noun


def noun_phrase(noun: str, det: str = "the", traits: tuple[str, ...] = ()) -> list[str]:
    """`the red ball`, `an apple`, `some bread`; names and pronouns stand alone."""
    if noun in NAMES or not det:
        return [noun]
    if det == "a":
        det = "some" if noun in MASS else article(traits[0] if traits else noun)
    return [det, *traits, noun]


def kind_phrase(noun: str) -> list[str]:
    """A kind of thing in general: `a ball`, `water`."""
    return [noun] if noun in MASS else noun_phrase(noun, "a")


def subject_phrase(clause: Clause) -> list[str]:
    """The clause's subject in words."""
    first, *rest = clause.subject
    if rest:
        return [first, "and", *rest]
    pronoun = first in PLURAL_SUBJECTS or first in ("she", "he", "it", "who", HOLE)
    if pronoun:
        return ["who" if first == HOLE else first]
    return kind_phrase(first) if clause.owner == "a" else noun_phrase(first, clause.owner)


def plural(clause: Clause) -> bool:
    """Whether the subject takes the verb's plain form in the present."""
    return len(clause.subject) > 1 or clause.subject[0] in PLURAL_SUBJECTS


def verb_phrase(clause: Clause) -> list[str]:
    """Verb, negation and all that follows, in words."""
    verb, many = VERBS[clause.verb], plural(clause)
    no = ["not"] if clause.negated else []
    if clause.tense in ("future", "can"):
        head = ["will" if clause.tense == "future" else "can", *no, verb.base]
    elif verb.frame == "be":
        be = "was" if clause.tense == "past" else "is"
        if clause.subject == ("i",):
            be = "was" if clause.tense == "past" else "am"
        elif many:
            be = "were" if clause.tense == "past" else "are"
        head = [be, *no]
    elif no:
        head = ["did" if clause.tense == "past" else "do" if many else "does", "not", verb.base]
    elif clause.tense == "past":
        head = [verb.past]
    else:
        head = [verb.base if many else verb.third]
    return head + complement(clause)


def place_phrase(place: str) -> list[str]:
    """`in the park`, `on the hill`."""
    return [PLACES[place][0], "the", place]


def complement(clause: Clause) -> list[str]:
    """What follows the verb."""
    frame, said = VERBS[clause.verb].frame, []
    if clause.object and clause.object != HOLE:
        said += noun_phrase(OBJECT_FORM.get(clause.object, clause.object), _det(clause), clause.traits)
    elif frame == "be":
        said += [*clause.traits] if clause.traits != (HOLE,) else []
    if clause.target and clause.target != HOLE:
        if frame == "give":
            said += ["to", OBJECT_FORM.get(clause.target, clause.target)]
        else:
            said += ["in", *noun_phrase(clause.target)]
    if clause.place and clause.place != HOLE:
        said += ["to", "the", clause.place] if frame in ("to", "bring") else place_phrase(clause.place)
    if clause.company:
        said += ["with", OBJECT_FORM.get(clause.company, clause.company)]
    return said


def _det(clause: Clause) -> str:
    return "" if clause.object in ("it", "you", *OBJECT_FORM) else clause.det


def say(clause: Clause) -> list[str]:
    """The clause in words, without a final mark."""
    return subject_phrase(clause) + verb_phrase(clause)


def ask(clause: Clause) -> list[str]:
    """The question that the clause's hole asks, or a yes-or-no question if it has none; without the final mark."""
    if clause.subject == (HOLE,):
        return say(clause)
    verb, many = VERBS[clause.verb], plural(clause)
    word = []
    if clause.place == HOLE or (clause.target == HOLE and verb.frame != "give"):
        word = ["where"]
    elif HOLE in (clause.object, clause.target):
        word = ["who" if clause.target == HOLE or verb.frame == "person" else "what"]
    elif clause.traits == (HOLE,):
        word = ["how"]
    if verb.frame == "be":
        if word == ["how"]:
            return ["how", "did" if clause.tense == "past" else "does", *subject_phrase(clause), "feel"]
        head, *_ = verb_phrase(clause._replace(negated=False))
        return [*word, head, *subject_phrase(clause), *complement(clause)]
    if clause.tense in ("future", "can"):
        do = "will" if clause.tense == "future" else "can"
    else:
        do = "did" if clause.tense == "past" else "do" if many else "does"
    trail = ["to"] if word == ["who"] and clause.target == HOLE else []
    return [*word, do, *subject_phrase(clause), verb.base, *complement(clause), *trail]
