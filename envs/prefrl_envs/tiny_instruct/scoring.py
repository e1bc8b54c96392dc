"""The gold standard: how good an answer is, by reading prompt and answer, for any words at all.

gold = form * (0.1 * grammar + 0.9 * instruction * constraint * relevance * s(grammar) * s(truth) * s(entities)) with
s(x) = 0.3 + 0.7 x. Nearly right answers earn a part of the instruction, so the score is graded. Length is no shortcut:
empty answers have form 0; unfinished, repeated and copied ones lose form, padded ones relevance (and where one sentence
is wanted, the instruction is the mean over sentences).
"""

from collections.abc import Callable, Set
from dataclasses import dataclass

from prefrl_envs.tiny_instruct.clauses import HOLE, ask, say
from prefrl_envs.tiny_instruct.lexicon import (
    COLORS,
    FEELINGS,
    NAMES,
    NUMBERS,
    PLURAL,
    THINGS,
    TRAITS,
    category,
)
from prefrl_envs.tiny_instruct.parsing import Sentence
from prefrl_envs.tiny_instruct.reading import ENTITIES, Reading, entities, read
from prefrl_envs.tiny_instruct.simulator import true_of
from prefrl_envs.tiny_instruct.tasks import Task, avoided, understand
from prefrl_envs.tiny_instruct.truth import (
    Demand,
    answers,
    demands,
    extracted,
    fact_answers,
    rewritten,
    right_labels,
    true_members,
)

_MOST_TOKENS = 64  # a longer answer loses form in proportion, squared
_MOST_STORY, _MOST_CHAT = 7, 4  # sentences; more serve no one
_SLIP = 0.7  # what an answer with one slip of a small word is worth
_WORDS = 0.5  # what the right words are worth where they are no sentence
_SAME_CATEGORY = 0.15  # what a wrong answer of the right category is worth, such as the wrong place
_NAMING = ENTITIES.union(COLORS, TRAITS, FEELINGS, NUMBERS, PLURAL, PLURAL.values(), ("yes", "no"))
_ALL_NAMES = frozenset(NAMES)
_PRONOUNS = frozenset(("it", "she", "he", "they"))


@dataclass(frozen=True)
class Assessment:
    """The parts of the gold score, each from 0 (bad) to 1 (good)."""

    instruction: float  # did what was asked
    constraint: float  # kept to the limit of sentences, and did not mention what it must not
    grammar: float  # how well sentences are formed, each with the weight of its words
    truth: float  # falls by half with every contradiction, in itself, with the paragraph or with the world
    entities: float  # share of the named people, things and places that the task allows
    relevance: float  # share of the sentences that serve the task
    form: float  # not empty, unfinished, repeated, endless or the instruction said again
    tokens: int  # length, for who has a taste for it

    @property
    def gold(self) -> float:
        """The whole, in [0, 1]."""
        rest = self.instruction * self.constraint * self.relevance
        for part in (self.grammar, self.truth, self.entities):
            rest *= 0.3 + 0.7 * part
        return self.form * (0.1 * self.grammar + 0.9 * rest)


def gold(prompt_text: str, answer: str) -> float:
    """How good the answer is, in [0, 1]; see `Assessment`."""
    return assess(prompt_text, answer).gold


def assess(prompt_text: str, answer: str) -> Assessment:
    """The parts of the gold score for any prompt and answer; a prompt that asks for nothing known has instruction 0."""
    task, reading = understand(prompt_text), read(answer)
    if not reading.sentences:
        return Assessment(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    tokens = reading.tokens
    well = sum(len(words) * formed for words, formed in zip(reading.sentences, reading.formed, strict=True))
    instruction, serving = _instruction(task, reading)
    named = entities(answer)
    return Assessment(
        instruction=instruction,
        constraint=_constraint(task, reading, answer),
        grammar=well / tokens,
        truth=0.5 ** float(_falsehoods(task, reading)),
        entities=len(named & _allowed(task, prompt_text, named)) / len(named) if named else 1.0,
        relevance=serving / len(reading.sentences),
        form=_form(task, prompt_text, reading, tokens),
        tokens=tokens,
    )


def _form(task: Task, prompt: str, reading: Reading, tokens: int) -> float:
    distinct = len(set(reading.sentences)) / len(reading.sentences)
    finished = 1.0 if reading.sentences[-1][-1] in (".", "!", "?") else 0.4
    echoed = any(_echoes(task, prompt, *said) for said in zip(reading.sentences, reading.parsed, strict=True))
    return distinct**2 * finished * (0.4 if echoed else 1.0) * min(1.0, _MOST_TOKENS / tokens) ** 2


def _echoes(task: Task, prompt: str, words: tuple[str, ...], parsed: Sentence | None) -> bool:
    """Whether a sentence says the instruction or the customer's news again; a paragraph's words may be used."""
    if parsed is None:
        return len(words) > 3 and " ".join(words) in prompt
    return words in task.message and parsed.act not in ("greet", "bye")


def _constraint(task: Task, reading: Reading, answer: str) -> float:
    kept = 1.0
    if task.limit and len(reading.sentences) > task.limit:
        kept *= 0.3
    return kept * (0.2 if avoided(task, answer) else 1.0)


def _allowed(task: Task, prompt: str, named: Set[str]) -> Set[str]:
    """Of the named entities those that the answer may speak of."""
    if task.kind in ("closed", "extract", "summarize", "rewrite", "classify"):
        return entities(prompt)
    if task.core == "story":  # a story may bring one person of its own
        strangers = (named & _ALL_NAMES) - set(task.topic)
        return named - strangers if len(strangers) > 1 else named
    if task.kind == "chat":
        return named - (_ALL_NAMES - entities(prompt))
    return named if task.group == "name" else named - _ALL_NAMES


def _falsehoods(task: Task, reading: Reading) -> int:
    """What the answer says that is not so."""
    problems = list(reading.problems)
    if task.kind in _ANAPHORIC:
        problems = [problem for problem in problems if problem != "pronoun"]
    if task.kind not in ("closed", "summarize"):
        return len(problems)
    # What happened is in the paragraph: an answer that leaves some of it out does not contradict itself by that.
    world = task.paragraph.world
    return problems.count("pronoun") + sum(not world.supports(clause) for clause in reading.flat)


# Kinds in which `it` may mean what the prompt speaks of.
_ANAPHORIC = ("closed", "classify", "chat")


def _instruction(task: Task, reading: Reading) -> tuple[float, int]:
    """How well the task is done, and how many sentences serve it."""
    if task.kind == "chat":
        return _chat(task, reading)
    if task.core == "describe":
        return _described(task, reading)
    if task.core == "story":
        return _story(task, reading)
    judge = _JUDGES.get(task.core or task.kind)
    if judge is None:
        return 0.0, 0
    # One sentence is wanted. Two answers are worth their mean, so that it does not pay to give both.
    scores = [judge(task, reading, i) for i in range(len(reading.sentences))]
    return sum(scores) / len(scores), int(any(scores))


def _worth(reading: Reading, i: int) -> float:
    return 1.0 if reading.formed[i] == 1 else _SLIP if reading.parsed[i] is not None else _WORDS


def _named(sentence: Sentence | None) -> set[str]:
    if sentence is None:
        return set()
    named = {*sentence.items, *sentence.slots}
    for clause in sentence.clauses:
        named |= {*clause.subject, clause.object, clause.target, clause.place, clause.company, *clause.traits}
    return named - {"", HOLE}


def _named_in(reading: Reading, i: int) -> set[str]:
    parsed = reading.parsed[i]
    return _named(parsed) if parsed is not None else set(_NAMING.intersection(reading.sentences[i]))


def _hit(named: Set[str], right: tuple[frozenset[str], ...], asked: Set[str]) -> float:
    """How much of a right answer is named, and how little else, from 0 to 1."""
    best = 0.0
    for answer in right:
        hits, others = len(named & answer), len(named - answer - asked - _PRONOUNS)
        if hits:
            best = max(best, hits / len(answer) * (hits / (hits + others)) ** 2)
    if best == 0 and not any(answer & {"yes", "no"} for answer in right):
        kinds = {_kind(word) for answer in right for word in answer} - {""}
        best = _SAME_CATEGORY * float({_kind(word) for word in named - asked} <= kinds and bool(named - asked))
    return best


def _kind(word: str) -> str:
    return "feeling" if word in FEELINGS else "color" if word in COLORS else category(word)


def _hit_by(reading: Reading, i: int, right: tuple[frozenset[str], ...], asked: Set[str]) -> float:
    parsed = reading.parsed[i]
    if parsed is not None and (parsed.form == "question" or any(clause.negated for clause in parsed.clauses)):
        return 0.0
    return _worth(reading, i) * _hit(_named_in(reading, i), right, asked)


def _closed(task: Task, reading: Reading, i: int) -> float:
    if task.question is None:
        return 0.0
    asked = _named(Sentence("question", (task.question,)))
    return _hit_by(reading, i, answers(task.question, task.paragraph), asked)


def _classified(task: Task, reading: Reading, i: int) -> float:
    right = tuple(frozenset({label.split()[-1]}) for label in right_labels(task))
    wrong = {label.split()[-1] for label in task.labels}.difference(*right)
    if not right or wrong & _named_in(reading, i):
        return 0.0
    return _hit_by(reading, i, right, {task.noun, "text", "story", "sentence"})


def _items(reading: Reading, i: int) -> list[str]:
    """What a sentence lists, with repetitions."""
    parsed = reading.parsed[i]
    if parsed is not None:
        return list(parsed.items)
    return [word for word in reading.sentences[i] if word in _NAMING]


def _extracted(task: Task, reading: Reading, i: int) -> float:
    items, right = _items(reading, i), set(extracted(task.text, task.group))
    hits = len(right.intersection(items))
    return _worth(reading, i) * 2 * hits / (len(items) + len(right)) if hits else 0.0


def _listed(task: Task, reading: Reading, i: int) -> float:
    items = _items(reading, i)
    right = len(set(items).intersection(true_members(task.group, task.quality)))
    share = min(right, task.number) / max(task.number, len(items), 1)
    return _worth(reading, i) * share * share


def _summarized(task: Task, reading: Reading, i: int) -> float:
    if not (events := task.paragraph.flat):
        return 0.0
    clauses, hero, world = reading.clauses[i], events[0].subject[0], task.paragraph.world
    if not clauses:  # no statement; a few of the right words are a beginning
        named = _named_in(reading, i)
        known = len(named & entities(task.text)) if hero in named else 0
        return _WORDS * min(1.0, known / 3) ** 2 if reading.parsed[i] is None and known > 1 else 0.0
    told = {clause for clause in clauses if world.supports(clause)}
    about = 1.0 if any(hero in clause.subject for clause in told) else 0.5
    copied = 0.6 if reading.sentences[i] in task.paragraph.sentences else 1.0
    return _worth(reading, i) * about * copied * min(1.0, len(told) / max(2, len(clauses)))


_PARTS = ("subject", "verb", "object", "traits", "target", "place", "company", "tense", "negated")


def _rewritten(task: Task, reading: Reading, i: int) -> float:
    source = task.paragraph.parsed[0]
    if source is None:
        return 0.0
    old, question = source.clauses[0], "question" in task.transform
    wanted, said = rewritten(old, task.transform), reading.parsed[i]
    if said is None or len(said.clauses) != 1:
        right = set(ask(wanted) if question else say(wanted))
        words = set(reading.sentences[i][:-1])
        return _WORDS * (len(words & right) / len(words | right)) ** 2
    got = said.clauses[0]
    done = (said.form == "question") == question and all(
        getattr(got, part) == getattr(wanted, part) for part in _PARTS if getattr(old, part) != getattr(wanted, part)
    )
    parts = [part for part in _PARTS if getattr(got, part) or getattr(wanted, part)]
    same: float = sum(getattr(got, part) == getattr(wanted, part) for part in parts) / len(parts)
    return _worth(reading, i) * same * same * same * (1.0 if done else 0.2)


_JUDGES: dict[str, Callable[[Task, Reading, int], float]] = {
    "closed": _closed,
    "classify": _classified,
    "extract": _extracted,
    "summarize": _summarized,
    "rewrite": _rewritten,
    "list": _listed,
}


def _described(task: Task, reading: Reading) -> tuple[float, int]:
    told, serves = set[tuple[str, str, tuple[str, ...], str]](), 0
    for clauses in reading.clauses:
        true = {
            (clause.verb, clause.object, clause.traits, clause.place)
            for clause in clauses
            if task.noun in (*clause.subject, clause.object) and true_of(clause._replace(owner="a"))
        }
        serves += bool(true - told)
        told |= true
    return min(1.0, len(told) / min(2, task.limit or 2)), serves


def _story(task: Task, reading: Reading) -> tuple[float, int]:
    wanted = {*task.topic, *([task.place] if task.place else [])}
    seen, serves = set(wanted), 0
    acting, met = set[str](), set[str]()
    for clauses in reading.clauses:
        named = {
            word
            for clause in clauses
            for word in (*clause.subject, clause.object, clause.target, clause.place, clause.company)
        } - {""}
        serves += bool(named & seen)
        seen |= named if named & seen else set()
        met |= named & wanted
        acting |= {one for clause in clauses for one in clause.subject}
    events = len(set(reading.flat))
    if not wanted or not events:
        return 0.0, 0
    hero = 1.0 if not task.topic or task.topic[0] in acting else 0.6
    full = min(1.0, events / 3)
    return len(met) / len(wanted) * hero * full, min(serves, _MOST_STORY)


_MEETS = {
    "bad": ("sorry", "sorry-feel", "comfort", "hope-find", "offer", "what-happened"),
    "good": ("glad", "enjoy"),
    "well": ("well",),
    "welcome": ("welcome",),
    "bye": ("bye",),
    "greet": ("greet",),
}
_KEYS = {
    "bad": frozenset(("sorry", "sad", "terrible")),
    "good": frozenset(("great", "wonderful", "nice", "glad", "happy", "congratulations")),
    "well": frozenset(("fine", "well")),
    "welcome": frozenset(("welcome",)),
    "bye": frozenset(("bye", "goodbye", "night")),
}  # what the set phrases turn on
_FULL = {"bad": ("sorry", "sorry-feel"), "good": ("glad", "enjoy")}


def _chat(task: Task, reading: Reading) -> tuple[float, int]:
    wanted = demands(task.message)
    real = [demand for demand in wanted if demand.kind != "greet"] or wanted
    each = range(len(reading.sentences))
    met = [max(_meets(demand, reading, i) for i in each) for demand in real]
    acts = [parsed.act if parsed is not None else "" for parsed in reading.parsed]
    serves = sum(act in ("greet", "name", "ask-well") or any(_meets(d, reading, i) for d in wanted)
                 for i, act in enumerate(acts))  # fmt: skip
    kinds = {demand.kind for demand in wanted}
    tactless = ("bad" in kinds and {"glad", "enjoy"}.intersection(acts)) or (
        "good" in kinds and {"sorry", "sorry-feel", "comfort"}.intersection(acts)
    )
    done = sum(met) / len(met) if met else float("greet" in acts)
    return done * (0.2 if tactless else 1.0), min(serves, _MOST_CHAT)


def _meets(demand: Demand, reading: Reading, i: int) -> float:
    parsed = reading.parsed[i]
    if demand.kind == "fact" and demand.question is not None:
        asked = _named(Sentence("question", (demand.question,)))
        return _hit_by(reading, i, fact_answers(demand.question), asked)
    if parsed is None:
        return _WORDS * float(not _KEYS.get(demand.kind, frozenset()).isdisjoint(reading.sentences[i]))
    if parsed.act not in _MEETS.get(demand.kind, ()):
        return 0.0
    things = [slot for slot in parsed.slots if slot in THINGS]
    feelings = [slot for slot in parsed.slots if slot in FEELINGS]
    if (things and demand.thing not in things) or (feelings and demand.feeling not in ("", *feelings)):
        return 0.2
    full = parsed.act in _FULL.get(demand.kind, _MEETS[demand.kind])
    return _worth(reading, i) * (1.0 if full else 0.5)
