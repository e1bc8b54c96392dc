"""What a prompt asks for, understood from its text alone."""

import re
from functools import lru_cache
from typing import NamedTuple

from prefrl_envs.tiny_instruct.clauses import Clause
from prefrl_envs.tiny_instruct.grammar import Grammar
from prefrl_envs.tiny_instruct.lexicon import (
    NAMES,
    NUMBERS,
    PLACES,
    PLURAL,
    THINGS,
    members,
)
from prefrl_envs.tiny_instruct.parsing import parse
from prefrl_envs.tiny_instruct.reading import Reading, read

KINDS = ("story", "rewrite", "extract", "summarize", "closed", "list", "chat", "classify", "limit", "avoid")
GROUPS = {
    "names": "name", "people": "name", "places": "place", "things": "thing", "animals": "animal",
}  # what can be extracted  # fmt: skip
SINGULAR = {plural: group for group, plural in PLURAL.items()}

RULES = {
    # before an instruction; then what may follow it
    "pre": (
        "", "", "please", "now", "just", "i want you to", "i need you to", "i would like you to", "task :",
        "instruction :", "exercise :", "hello , please", "hi ,", "hey ,", "dear friend , please", "your task is to",
        "you must", "you should", "let us", "help me and", "do this :", "first ,", "next ,", "i ask you to",
        "one thing :",
        "new task :",
    ),
    "can": ("can/could/would/will you", "can/could/would you please", "hello , can you", "hey , could you"),
    "post": ("", "", "", ", please", "for me", ", thank you", "now", "today", ", thanks"),
    "tell": ("write/tell/invent/give", "write me", "tell me", "give me", "make up", "think of", "write down"),
    "tale": ("a story/tale/text", "a short/little/small/nice/new story/tale", "a short text", "some sentences",
             "a few sentences", "a few words"),
    "story-about": ("<tell> <tale> about/of TOPIC",),
    "describe": ("describe/explain NOUN", "tell me/us about NOUN", "write/talk about NOUN", "say something about NOUN",
                 "write something about NOUN"),
    "at-most": ("in/with/using at most NUMBER sentence/sentences",
                "in/with/using no more than NUMBER sentence/sentences", "and use at most NUMBER sentence/sentences",
                "and write at most NUMBER sentence/sentences", "but write no more than NUMBER sentence/sentences"),
    "but-not": ("but do not mention AVOID", "and do not mention AVOID", "without mentioning AVOID",
    "and never mention AVOID",
                "but leave out AVOID", "and leave out AVOID", "but do not use AVOID", "without using AVOID",
                "but never use AVOID", "and do not include AVOID"),
    "do": ("<pre> TASK <post> .", "<can> TASK <post> ?"),
    "this": ("this/the text", "this/the story", "this", "these sentences", "the text here", "these words"),
    "it": ("this/the text", "this/the story", "this", "the text here"),
    "sentence": ("this/the sentence", "this/the text", "this", "these words"),
    "with-text": (
        "<pre> TASK : TEXT", "<can> TASK : TEXT", "<pre> TASK . text/story : TEXT", "<can> TASK ? TEXT",
        "text/story : TEXT <pre> TASK <post> .", "TEXT <pre> TASK <post> .",
        "read this/the text : TEXT <pre> TASK <post> .",
        "here is a text/story : TEXT <can> TASK <post> ?", "TEXT <can> TASK <post> ?",
        "this happened : TEXT <pre> TASK .",
    ),
    "transform": ("in the present/past/future", "as a question", "as a negative sentence", "in the negative",
                  "with NEW in place of OLD", "with NEW and not OLD"),
    "rewrite-task": ("rewrite/write/put/say/change <sentence> TRANSFORM",
    "rewrite/write/say/put <sentence> again TRANSFORM"),
    "extract-task": (
        "extract/find/name/list <all> GROUP in/from/of <this>", "write/pick out <all> GROUP in/from <this>",
        "write down <all> GROUP in/from <this>", "tell me <all> GROUP in/from <this>",
        "give me <all> GROUP in/from <this>",
        "say which GROUP are in <this>",
    ),
    "all": ("all", "all the", "the", "every one of the", "all of the"),
    "summarize-task": (
        "summarize <this> in one sentence", "sum up <this> in one sentence", "say in one sentence what happened",
        "tell me in one sentence what happened", "write one sentence about <this>", "sum <this> up in one sentence",
        "give me the main point in one sentence", "write a summary of one sentence",
        "say what happened in one sentence",
        "describe <this> in only one sentence", "use one sentence to sum up <this>",
    ),
    "list-task": (
        "list/name/give/find NUMBER (different) GROUP (QUALITY)", "write down NUMBER (different) GROUP (QUALITY)",
        "give/tell me NUMBER (different) GROUP (QUALITY)", "think of NUMBER (different) GROUP (QUALITY)",
        "make a list of NUMBER (different) GROUP (QUALITY)", "say the names of NUMBER GROUP (QUALITY)",
    ),
    "classify-task": (
        "classify <it> as LABEL or OTHER", "say whether/if <it> is LABEL or OTHER",
        "decide whether/if <it> is LABEL or OTHER", "tell me whether/if <it> is LABEL or OTHER",
        "sort <it> as LABEL or OTHER", "choose LABEL or OTHER for <it>",
    ),
    "choose-task": (
        "say whether/if NOUN is LABEL or OTHER", "decide whether/if NOUN is LABEL or OTHER",
        "tell me whether/if NOUN is LABEL or OTHER",
        "classify NOUN as LABEL or OTHER", "sort NOUN as LABEL or OTHER",
    ),
    "is-it": ("(please tell me :) is NOUN LABEL or OTHER ?", "question : is NOUN LABEL or OTHER ?",
    "hello , is NOUN LABEL or OTHER ?",
              "what do you think : is NOUN LABEL or OTHER ?", "NOUN : LABEL or OTHER ?",
              "what is NOUN : LABEL or OTHER ?",
              "hey , is NOUN LABEL or OTHER ?", "one question : is NOUN LABEL or OTHER ?"),
    "is-it-core": ("is NOUN LABEL or OTHER", "NOUN : LABEL or OTHER"),
    "closed": ("<closed-core>", "<hello> <closed-core>", "<hello> <friend> <closed-core>"),
    "closed-core": (
        "TEXT (now/please tell me :) QUERY", "TEXT (my/one/the question :) QUERY", "read this/the text : TEXT QUERY",
        "text/story : TEXT question/exercise/task : QUERY", "(please) read this/the text and answer : TEXT QUERY",
        "(please) answer this/my/the question : QUERY text/story : TEXT",
        "(please) use the text to answer : QUERY TEXT",
        "here is a text/story : TEXT (now/please answer this :) QUERY", "QUERY (this is) the text/story : TEXT",
        "i read this : TEXT (so tell me :) QUERY", "this happened : TEXT (i want to know :) QUERY",
        "TEXT can/could you (please) tell me : QUERY", "TEXT do you know this : QUERY",
        "(please) think about this : TEXT QUERY",
        "QUERY (please) answer from this/the text/story : TEXT",
    ),
    "chat": (
        "<hello> MESSAGE", "<hello> <friend> MESSAGE", "<hello> MESSAGE <talk>", "<hello> <friend> MESSAGE <talk>",
        "MESSAGE <talk>", "chat : <hello> MESSAGE", "user : <hello> MESSAGE", "message : <hello> MESSAGE",
        "reply to this/the message (please) : MESSAGE", "answer this/the message (please) : MESSAGE",
        "a user/friend/person said/posted/asked : <hello> MESSAGE", "user : <hello> MESSAGE reply :",
    ),
    "hello": ("hello/hi/hey ./!/,", "good morning/evening/afternoon ./!/,", "hello again ./!/,",
    "hello/hi there ./!/,"),
    "friend": ("my friend ./!/,", "dear friend ./!/,", "it is me ./!/,", "it is me again ./!/,"),
    "talk": ("please talk to/with me .", "please reply to me .", "what do you say ?", "please say something .",
             "i want an answer .", "please answer me .", "what do you think ?", "i am here now ."),
}  # fmt: skip
GRAMMAR = Grammar(RULES)

_NOUN = r"(?:a |an |the |some )?[a-z]+ "
_SLOTS = {
    "TOPIC": rf"(?P<topic>{_NOUN}(?:and {_NOUN})?(?:(?:in|on|at) the [a-z]+ )?)",
    "NOUN": rf"(?P<noun>{_NOUN})",
    "NUMBER": rf"(?P<number>{'|'.join(NUMBERS)}) ",
    "AVOID": r"(?P<avoid>(?:the |any |a |an |some )?[a-z]+ )",
    "GROUP": r"(?P<group>[a-z]+) ",
    "QUALITY": r"that (?P<quality>(?:are|can|live (?:in|on|at) the) [a-z]+) ",
    "TRANSFORM": r"(?P<transform>in the [a-z]+|as a [a-z]+(?: sentence)?|with [a-z]+ (?:in place of|and not) [a-z]+) ",
    "LABEL": r"(?P<label>(?:about |a |an )?[a-z]+) ",
    "OTHER": r"(?P<other>(?:about |a |an )?[a-z]+) ",
}
_CORES = {
    name: GRAMMAR.patterns(rule, _SLOTS)
    for name, rule in (
        ("rewrite", "rewrite-task"), ("extract", "extract-task"), ("summarize", "summarize-task"), ("list",
        "list-task"),
        ("classify", "classify-task"), ("choose", "choose-task"), ("is-it", "is-it-core"), ("story", "story-about"),
        ("describe", "describe"),
    )
}  # fmt: skip
_AT_MOST = GRAMMAR.patterns("at-most", _SLOTS)
_BUT_NOT = GRAMMAR.patterns("but-not", _SLOTS)
_FIRST_PERSON = ("i", "you", "we")
_ADDRESSES = frozenset(
    tuple(phrase.split())
    for phrase in (
        "hello", "hi", "hey", "hello again", "hello there", "hi there", "good morning", "good evening",
        "good afternoon",
        "my friend", "dear friend", "it is me", "it is me again",
    )
)  # fmt: skip


class Task(NamedTuple):
    """An instruction as it was understood; what a kind does not need is empty."""

    kind: str  # one of KINDS; "" if no instruction was found
    core: str = ""  # under a constraint: story | describe | list
    topic: tuple[str, ...] = ()  # whom a story is about
    place: str = ""  # where the story is set
    noun: str = ""  # what is to be described or classified
    limit: int = 0  # the most sentences
    number: int = 0  # how many things to list
    group: str = ""  # a category, singular
    quality: str = ""  # `are red`, `can fly`, `live in the forest`
    avoid: str = ""  # a noun, or a category after `any`
    avoid_any: bool = False
    transform: str = ""
    labels: tuple[str, ...] = ()
    text: str = ""  # the paragraph
    question: Clause | None = None
    message: tuple[tuple[str, ...], ...] = ()  # the sentences of a chat

    @property
    def paragraph(self) -> Reading:
        """The paragraph, understood."""
        return read(self.text)


@lru_cache(maxsize=1 << 14)
def understand(prompt: str) -> Task:
    """The task of a prompt. A prompt that asks for nothing this world knows has the kind ""."""
    said = " ".join(prompt.split()) + " "
    pieces = _pieces(prompt.split())
    text = _text(pieces)
    for core, patterns in _CORES.items():
        for pattern in patterns:
            if (found := pattern.search(said)) is None:
                continue
            task = _task(core, {slot: words.strip() for slot, words in found.groupdict("").items()}, text)
            if task is not None:
                return _constrained(task, said)
    question = next((asked for piece in reversed(pieces) if (asked := _asked(piece)) is not None), None)
    if question is not None and text:
        return Task("closed", text=text, question=question)
    message = tuple(piece for piece in pieces if parse(piece) is not None)
    return Task("chat", message=message) if message else Task("")


def _search(patterns: list[re.Pattern[str]], said: str) -> re.Match[str] | None:
    return next((found for pattern in patterns if (found := pattern.search(said))), None)


def _asked(piece: tuple[str, ...]) -> Clause | None:
    """The question that a sentence asks about somebody or something else than who talks."""
    parsed = parse(piece) if piece[-1] == "?" else None
    if parsed is None or parsed.form != "question" or parsed.clauses[0].subject[0] in _FIRST_PERSON:
        return None
    return parsed.clauses[0]


def _pieces(words: list[str]) -> list[tuple[str, ...]]:
    """The sentences of a prompt; a colon ends one too, and so does the comma of an address."""
    found, piece = [], list[str]()
    for word in words:
        piece.append(word)
        if word in (".", "!", "?", ":") or (word == "," and tuple(piece[:-1]) in _ADDRESSES):
            found.append(tuple(piece) if word != "," else (*piece[:-1], "."))
            piece = []
    if piece:
        found.append(tuple(piece))
    return found


def _text(pieces: list[tuple[str, ...]]) -> str:
    told = []
    for piece in pieces:
        parsed = parse(piece)
        if parsed is not None and parsed.form == "clause" and parsed.clauses[0].subject[0] not in _FIRST_PERSON:
            told.append(" ".join(piece))
    return " ".join(told)


def _task(core: str, slots: dict[str, str], text: str) -> Task | None:
    if core == "rewrite":
        return Task("rewrite", transform=slots["transform"], text=text) if text else None
    if core == "extract":
        group = GROUPS.get(slots["group"]) or SINGULAR.get(slots["group"], "")
        return Task("extract", group=group, text=text) if group and text else None
    if core == "summarize":
        return Task("summarize", text=text, limit=1) if text else None
    if core == "list":
        group = SINGULAR.get(slots["group"], "")
        number = NUMBERS.index(slots["number"]) + 1
        return Task("list", "list", number=number, group=group, quality=slots["quality"]) if group else None
    if core in ("classify", "choose", "is-it"):
        labels = (slots["label"], slots["other"])
        if core == "classify":
            return Task("classify", labels=labels, text=text) if text else None
        noun = slots["noun"].split()[-1]
        return Task("classify", labels=labels, noun=noun) if noun in THINGS else None
    if core == "story":
        topic, place = _topic(slots["topic"])
        return Task("story", "story", topic=topic, place=place) if topic or place else None
    noun = slots["noun"].split()[-1]
    return Task("describe", "describe", noun=noun) if noun in THINGS else None


def _topic(phrase: str) -> tuple[tuple[str, ...], str]:
    words = [word for word in phrase.split() if word in NAMES or word in THINGS or word in PLACES]
    place = words[-1] if words and words[-1] in PLACES else ""
    return tuple(word for word in words if word != place), place


def _constrained(task: Task, said: str) -> Task:
    if not task.core:
        return task
    if found := _search(_AT_MOST, said):
        task = task._replace(kind="limit", limit=NUMBERS.index(found["number"]) + 1)
    if found := _search(_BUT_NOT, said):
        words = found["avoid"].split()
        kind = "avoid" if task.kind != "limit" else "limit"
        task = task._replace(kind=kind, avoid=words[-1], avoid_any=words[0] == "any")
    return task if task.kind != "describe" else task._replace(kind="limit")


def avoided(task: Task, said: str) -> bool:
    """Whether an answer mentions what it must not."""
    if not task.avoid:
        return False
    found = set(said.split())
    return bool(found & set(members(task.avoid))) if task.avoid_any else task.avoid in found
