"""Reads a sentence back into clauses: the exact inverse of how they are put into words, for any words at all."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from prefrl_envs.tiny_instruct import lexicon
from prefrl_envs.tiny_instruct.acts import act
from prefrl_envs.tiny_instruct.clauses import HOLE, PLURAL_SUBJECTS, Clause
from prefrl_envs.tiny_instruct.lexicon import MASS, NAMES, PLACES, VERBS, Verb, article, category

_NAMES, _TRAITS = frozenset(NAMES), frozenset((*lexicon.TRAITS, *lexicon.COLORS))
_FEELINGS = frozenset(lexicon.FEELINGS)
_NOUNS = frozenset((*lexicon.THINGS, *lexicon.GROUND))
_KINDS = frozenset((*lexicon.JOBS, *lexicon.PLURAL, "person", "text", "story", "sentence"))
_PLURALS = frozenset(lexicon.PLURAL.values())
_DETS = frozenset(["the", "a", "an", "some", "my", "his", "her", "your", "this", "our", "their"])
_SUBJECTS = frozenset(("she", "he", "it", *PLURAL_SUBJECTS))
_OBJECTS = {"her": "she", "him": "he", "it": "it", "them": "they", "me": "i", "us": "we", "you": "you"}
_FORMS: dict[str, list[tuple[Verb, str]]] = {}
for _verb in VERBS.values():
    for _form in ("base", "third", "past"):
        _FORMS.setdefault(getattr(_verb, _form), []).append((_verb, _form))
_BE = {"was": "past", "were": "past", "is": "present", "are": "present", "am": "present"}
_AUXILIARIES = ("did", "does", "do", "will", "can")


def _by_first_word(phrases: tuple[str, ...]) -> dict[str, list[tuple[str, ...]]]:
    """The phrases that start with a word, the longest first."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted((tuple(phrase.split()) for phrase in phrases), key=len, reverse=True):
        found.setdefault(phrase[0], []).append(phrase)
    return found


_LEADS, _TIMES = _by_first_word(lexicon.LEADS), _by_first_word(lexicon.TIMES)
_MAX_CLAUSES = 4


class Sentence(NamedTuple):
    """A sentence that was understood."""

    form: str  # clause | question | fragment | act
    clauses: tuple[Clause, ...] = ()
    items: tuple[str, ...] = ()  # of a fragment: what it names
    act: str = ""  # of a chat's phrase: its name
    slots: tuple[str, ...] = ()  # of a chat's phrase: what it speaks of


class _NotUnderstoodError(Exception):
    pass


class _Reader:
    def __init__(self, words: tuple[str, ...]) -> None:
        self.words, self.at, self.end = words, 0, len(words)

    def peek(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.words[at] if at < self.end else ""

    def take(self, *wanted: str) -> bool:
        if self.words[self.at : self.at + len(wanted)] != wanted:
            return False
        self.at += len(wanted)
        return True

    def need(self, *wanted: str) -> None:
        if not self.take(*wanted):
            raise _NotUnderstoodError

    def phrase(self, phrases: dict[str, list[tuple[str, ...]]]) -> bool:
        return any(self.take(*phrase) for phrase in phrases.get(self.peek(), ()))

    def noun_phrase(self) -> tuple[str, str, tuple[str, ...]]:
        """noun, determiner, traits of `the red ball`, `anna` or `it`."""
        word = self.peek()
        if word in _NAMES:
            self.at += 1
            return word, "the", ()
        known = self.peek(1) in _NOUNS or self.peek(1) in _TRAITS
        if word in _OBJECTS and not (word == "her" and known):
            self.at += 1
            return _OBJECTS[word], "", ()
        if word in MASS:
            self.at += 1
            return word, "a", ()
        if word not in _DETS:
            raise _NotUnderstoodError
        self.at += 1
        following, traits = self.peek(), []
        while self.peek() in _TRAITS:
            traits.append(self.peek())
            self.at += 1
        noun = self.peek()
        if noun not in _NOUNS and noun not in _KINDS and noun not in PLACES:
            raise _NotUnderstoodError
        if word in ("a", "an") and (noun in MASS or word != article(following)):
            raise _NotUnderstoodError
        if (word == "some" and noun not in MASS) or len(traits) > 2 or len(set(traits)) < len(traits):
            raise _NotUnderstoodError
        self.at += 1
        return noun, "a" if word in ("a", "an", "some") else word, tuple(traits)

    def subject(self) -> tuple[tuple[str, ...], str]:
        word = self.peek()
        if word in _SUBJECTS or word == "who":
            self.at += 1
            return ((HOLE,) if word == "who" else (word,)), "the"
        noun, det, _ = self.noun_phrase()
        if noun in _NAMES and self.peek() == "and" and self.peek(1) in _NAMES and self.peek(2) not in ("and", ","):
            self.at += 2
            if self.words[self.at - 1] == noun:
                raise _NotUnderstoodError
            return (noun, self.words[self.at - 1]), "the"
        if not det:
            raise _NotUnderstoodError
        return (noun,), det

    def place(self, prepositions: tuple[str, ...] | None = None) -> str:
        """The place of `in the park`, or nothing, in which case nothing is read."""
        preposition, the, place = self.peek(), self.peek(1), self.peek(2)
        if the == "the" and preposition in (prepositions or PLACES.get(place, ())) and place in PLACES:
            self.at += 3
            return place
        return ""

    def clause(self, subject: tuple[str, ...], owner: str) -> Clause:
        """A verb phrase of this subject."""
        many = len(subject) > 1 or subject[0] in PLURAL_SUBJECTS
        word = self.peek()
        if word in _BE:
            self._check_be(word, subject, many)
            self.at += 1
            no = self.take("not")
            return self.complement(Clause(subject, "be", tense=_BE[word], negated=no, owner=owner), VERBS["be"], "")
        if word in _AUXILIARIES:
            if word in ("do", "does") and (word == "do") != many:
                raise _NotUnderstoodError
            self.at += 1
            no = self.take("not")
            if not no and word not in ("will", "can"):
                raise _NotUnderstoodError
            tense = {"will": "future", "can": "can", "did": "past"}.get(word, "present")
            return self.complement(Clause(subject, "", tense=tense, negated=no, owner=owner), self.form("base"), "")
        for verb, form in _FORMS.get(word, ()):
            if form == "past" or (form == "base") == many:
                self.at += 1
                tense = "past" if form == "past" else "present"
                return self.complement(Clause(subject, "", tense=tense, owner=owner), verb, "")
        raise _NotUnderstoodError

    @staticmethod
    def _check_be(word: str, subject: tuple[str, ...], many: bool) -> None:
        right = ("am", "was") if subject == ("i",) else ("are", "were") if many else ("is", "was")
        if word not in right:
            raise _NotUnderstoodError

    def form(self, wanted: str) -> Verb:
        for verb, form in _FORMS.get(self.peek(), ()):
            if form == wanted:
                self.at += 1
                return verb
        raise _NotUnderstoodError

    def complement(self, clause: Clause, verb: Verb, gap: str) -> Clause:
        """What follows the verb; `gap` names the part that a question asks for and that is therefore missing."""
        frame, said = verb.frame, dict[str, Any](verb=verb.base)
        if frame == "be":
            return self.predicate(clause._replace(verb="be"), gap)
        if frame in ("object", "give", "put", "bring", "person", "have") and gap != "object":
            noun, det, traits = self.noun_phrase()
            clause = clause._replace(object=noun, det=det, traits=traits)
        elif gap == "object":
            if frame in ("self", "to"):
                raise _NotUnderstoodError
            clause = clause._replace(object=HOLE)
        if frame == "give":
            if gap == "target":
                said["target"] = HOLE
            else:
                self.need("to")
                noun, det, traits = self.noun_phrase()
                if det and noun not in _NAMES and category(noun) not in ("animal", "bird"):
                    raise _NotUnderstoodError
                said["target"] = noun
        elif frame == "put":
            said |= self.where(gap)
        elif frame in ("to", "bring"):
            said["place"] = HOLE if gap == "place" else self.place(("to",))
            if not said["place"]:
                raise _NotUnderstoodError
        return self.adjuncts(clause._replace(**said), gap)

    def where(self, gap: str) -> dict[str, Any]:
        if gap == "place":
            return {"place": HOLE}
        if place := self.place():
            return {"place": place}
        self.need("in")
        noun, _, _ = self.noun_phrase()
        if category(noun) != "container":
            raise _NotUnderstoodError
        return {"target": noun}

    def predicate(self, clause: Clause, gap: str) -> Clause:
        if gap:
            hole: dict[str, Any] = {gap: (HOLE,) if gap == "traits" else HOLE}
            return self.adjuncts(clause._replace(**hole), gap)
        if place := self.place():
            return self.adjuncts(clause._replace(place=place), gap)
        if self.peek() == "in":
            return self.adjuncts(clause._replace(**self.where("")), gap)
        if self.take("about"):
            if self.peek() not in _PLURALS:
                raise _NotUnderstoodError
            self.at += 1
            return self.adjuncts(clause._replace(object=self.words[self.at - 1]), gap)
        very = self.take("very") or self.take("too")
        if self.peek() in _FEELINGS or self.peek() in _TRAITS:
            traits = [self.peek()]
            self.at += 1
            if self.peek() == "and" and (self.peek(1) in _FEELINGS or self.peek(1) in _TRAITS):
                traits.append(self.peek(1))
                self.at += 2
            return self.adjuncts(clause._replace(traits=tuple(traits)), gap)
        noun, det, traits_ = self.noun_phrase()
        if very or det != "a":
            raise _NotUnderstoodError
        return self.adjuncts(clause._replace(object=noun, det=det, traits=traits_), gap)

    def adjuncts(self, clause: Clause, gap: str) -> Clause:
        if gap == "place" and not clause.place:
            clause = clause._replace(place=HOLE)
        elif not clause.place and (place := self.place()):
            clause = clause._replace(place=place)
        if self.peek() == "with":
            self.at += 1
            noun, _, _ = self.noun_phrase()
            clause = clause._replace(company=noun)
        if not clause.place and gap != "place" and (place := self.place()):
            clause = clause._replace(place=place)
        self.phrase(_TIMES)
        return clause

    def sentence(self) -> tuple[Clause, ...]:
        self.phrase(_LEADS)
        subject, owner = self.subject()
        clauses = [self.clause(subject, owner)]
        while self.at < len(self.words):
            if len(clauses) == _MAX_CLAUSES:
                raise _NotUnderstoodError
            self.take(",")
            joint = self.peek()
            if joint not in ("and", "but", "because", "so"):
                raise _NotUnderstoodError
            self.at += 1
            self.take("then")
            starts = self.peek() in _FORMS or self.peek() in _BE or self.peek() in _AUXILIARIES
            if not starts:
                subject, owner = self.subject()
            elif joint in ("because", "so"):
                raise _NotUnderstoodError
            clauses.append(self.clause(subject, owner))
        if any(clause.subject == (HOLE,) for clause in clauses):
            raise _NotUnderstoodError
        return tuple(clauses)

    def question(self) -> Clause:
        """`where did anna go`, `who has the ball`, `is a hammer a tool`."""
        word = self.peek()
        if word == "who" and self.peek(1) not in ("did", "does", "do", "will"):
            self.at += 1
            return self.whole(self.clause((HOLE,), "the"))
        gap = ""
        if word in ("where", "what", "how", "who"):
            self.at += 1
            gap = {"where": "place", "what": "object", "how": "traits", "who": "object"}[word]
        head = self.peek()
        self.at += 1
        if head in _BE and word != "who":
            subject, owner = self.subject()
            self._check_be(head, subject, len(subject) > 1 or subject[0] in PLURAL_SUBJECTS)
            return self.whole(self.complement(Clause(subject, "be", tense=_BE[head], owner=owner), VERBS["be"], gap))
        if head not in _AUXILIARIES:
            raise _NotUnderstoodError
        subject, owner = self.subject()
        tense = {"did": "past", "will": "future", "can": "can"}.get(head, "present")
        clause = Clause(subject, "", tense=tense, owner=owner)
        if word == "how":
            self.need("feel")
            return self.whole(clause._replace(verb="be", traits=(HOLE,)))
        verb = self.form("base")
        if word == "who" and verb.frame == "give":
            noun, det, traits = self.noun_phrase()
            self.need("to")
            return self.whole(clause._replace(verb=verb.base, object=noun, det=det, traits=traits, target=HOLE))
        return self.whole(self.complement(clause, verb, gap))

    def whole(self, clause: Clause) -> Clause:
        if self.at < len(self.words):
            raise _NotUnderstoodError
        return clause

    def fragment(self) -> tuple[str, ...]:
        """`in the park`, `the ball`, `apple , pear and plum`, `two people`, `yes`."""
        if place := self.place():
            items = [place]
        else:
            if self.take("about") or ((self.take("in") or self.take("to")) and self.peek() not in (*_DETS, *_NAMES)):
                self._need_plural()
            items = [self.item()]
            while self.at < len(self.words):
                if not (self.take(",", "and") or self.take(",") or self.take("and")):
                    raise _NotUnderstoodError
                items.append(self.item())
        self.whole(Clause(("",), ""))
        return tuple(items)

    def _need_plural(self) -> None:
        if self.peek() not in _PLURALS:
            raise _NotUnderstoodError

    def item(self) -> str:
        word = self.peek()
        bare = word in _NOUNS or word in _FEELINGS or word in _TRAITS or word in PLACES or word in _KINDS
        bare = bare or word in _PLURALS
        if bare or word in ("yes", "no", *lexicon.NUMBERS):
            self.at += 1
            return word
        noun, det, _ = self.noun_phrase()
        if not det:
            raise _NotUnderstoodError
        return noun


def parse(words: tuple[str, ...]) -> Sentence | None:
    """The meaning of one sentence with its final mark, or None if it is none of this language."""
    return _parse(words)[0]


@lru_cache(maxsize=1 << 16)
def _parse(words: tuple[str, ...]) -> tuple[Sentence | None, int]:
    """The meaning, and how many words were understood before the first that was not."""
    if len(words) < 2:
        return None, 0
    body, mark = words[:-1], words[-1]
    if (phrase := act(words)) is not None:
        return Sentence("act", act=phrase[0], slots=phrase[1]), len(words)
    furthest = 0
    for read in _readings(body, mark):
        reader = _Reader(body)
        try:
            return read(reader), len(words)
        except _NotUnderstoodError:
            furthest = max(furthest, reader.at)
    return None, furthest


def _readings(body: tuple[str, ...], mark: str) -> Iterator[Callable[[_Reader], Sentence]]:
    """The ways in which words with that mark may be understood; a statement has a verb, a fragment has none."""
    if mark == "?":
        yield lambda reader: Sentence("question", (reader.question(),))
    elif mark in _MARKS:
        if not _VERBAL.isdisjoint(body):
            yield lambda reader: Sentence("clause", reader.sentence())
        if _ONLY_VERBAL.isdisjoint(body):
            yield lambda reader: Sentence("fragment", items=reader.fragment())


_MARKS = (".", "!", "?")
_VERBAL = frozenset((*_FORMS, *_BE, *_AUXILIARIES))
_ONLY_VERBAL = _VERBAL - _TRAITS - _NOUNS - _FEELINGS - _KINDS
# Which small words may be missing, and how far behind the last word that was understood.
_SMALL_WORDS = ("the", "is", "are", "am", "i", "you", "to", "in", "on", "and", ",")

_INSERTED = (("the", 1), *((small, 0) for small in _SMALL_WORDS))


@lru_cache(maxsize=1 << 16)
def mend(words: tuple[str, ...]) -> tuple[Sentence | None, float]:
    """The meaning of a sentence that may have a slip, and how well it is formed, from 0 to 1.

    1 for a sentence of the language; 0.5 if a word too many, a small word too few or a missing final mark is all that
    is wrong; less than 0.4 for another, by how far it can be understood.
    """
    marked = words[-1] in _MARKS
    read, at = _parse(words if marked else (*words, "."))
    if read is not None:
        return read, 1.0 if marked else 0.5
    for spot in range(max(at - 1, 0), min(at + 2, len(words) - 1)) if marked else ():
        if (read := parse((*words[:spot], *words[spot + 1 :]))) is not None:
            return read, 0.5
    for small, spot in _INSERTED if marked else ():
        if (read := parse((*words[: at + spot], small, *words[at + spot :]))) is not None:
            return read, 0.5
    return None, 0.4 * min(at, len(words)) / len(words)


def split(words: list[str]) -> list[tuple[str, ...]]:
    """Sentences with their final marks; the last may lack one."""
    found, start = [], 0
    for i, word in enumerate(words):
        if word in _MARKS:
            found.append(tuple(words[start : i + 1]))
            start = i + 1
    if start < len(words):
        found.append(tuple(words[start:]))
    return found
