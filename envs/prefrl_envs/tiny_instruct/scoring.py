"""The gold standard: how good an answer is, by reading prompt and answer, for any words at all.

gold = form * (0.1 * grammar + 0.9 * instruction * constraint * s(grammar) * s(truth) * s(entities) * s(relevance)) with
s(x) = 0.3 + 0.7 x. Length is no shortcut: empty answers have form 0; unfinished, repeated and padded ones lose form,
relevance or both.
"""

from dataclasses import dataclass
from functools import lru_cache

from prefrl_envs.tiny_instruct.clauses import Clause
from prefrl_envs.tiny_instruct.demonstrations import avoided, right_label
from prefrl_envs.tiny_instruct.lexicon import NAMES, THINGS
from prefrl_envs.tiny_instruct.parsing import Sentence
from prefrl_envs.tiny_instruct.reading import Reading, entities, read
from prefrl_envs.tiny_instruct.simulator import true_of
from prefrl_envs.tiny_instruct.tasks import Task, understand
from prefrl_envs.tiny_instruct.truth import Demand, answers, demands, extracted, fact_answers, rewritten, true_members

_MOST_TOKENS = 64  # a longer answer loses form in proportion
_MOST_SENTENCES = {
    "story": 7,
    "chat": 4,
    "closed": 1,
    "classify": 1,
    "list": 1,
    "extract": 1,
    "summarize": 1,
    "rewrite": 1,
}


@dataclass(frozen=True)
class Assessment:
    """The parts of the gold score, each from 0 (bad) to 1 (good)."""

    instruction: float  # did what was asked
    constraint: float  # kept to the limit of sentences, and did not mention what it must not
    grammar: float  # share of the words in whole sentences of the language
    truth: float  # falls by half with every contradiction, in itself, with the paragraph or with the world
    entities: float  # share of the named people, things and places that the task allows
    relevance: float  # share of the sentences that serve the task
    form: float  # not empty, unfinished, repeated or endless
    tokens: int  # length, for who has a taste for it

    @property
    def gold(self) -> float:
        """The whole, in [0, 1]."""
        rest = self.instruction * self.constraint
        for part in (self.grammar, self.truth, self.entities, self.relevance):
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
    good = sum(
        len(words) for words, parsed in zip(reading.sentences, reading.parsed, strict=True) if parsed is not None
    )
    instruction, on_topic = _instruction(task, reading)
    false = len(reading.problems) + _unsupported(task, reading)
    named, allowed = entities(answer), _allowed(task, prompt_text, reading)
    return Assessment(
        instruction=instruction,
        constraint=_constraint(task, reading, answer),
        grammar=good / reading.tokens,
        truth=0.5**false,
        entities=len(named & allowed) / len(named) if named else 1.0,
        relevance=on_topic / len(reading.sentences),
        form=_form(reading),
        tokens=reading.tokens,
    )


def _form(reading: Reading) -> float:
    distinct = len(set(reading.sentences)) / len(reading.sentences)
    finished = 1.0 if reading.sentences[-1][-1] in (".", "!", "?") else 0.4
    return distinct**2 * finished * min(1.0, _MOST_TOKENS / reading.tokens) ** 2


def _constraint(task: Task, reading: Reading, answer: str) -> float:
    kept = 1.0
    if task.limit and len(reading.sentences) > task.limit:
        kept *= 0.3
    return kept * (0.2 if avoided(task, answer) else 1.0)


def _allowed(task: Task, prompt: str, reading: Reading) -> set[str]:
    named = {word for sentence in reading.sentences for word in sentence}
    if task.kind in ("closed", "extract", "summarize", "rewrite", "classify"):
        return entities(prompt)
    if task.core == "story":  # a story may bring one person of its own
        strangers = [
            word for sentence in reading.sentences for word in sentence if word in NAMES and word not in task.topic
        ]
        return named - set(dict.fromkeys(strangers).keys() if len(set(strangers)) > 1 else ())
    if task.kind == "chat":
        return named - (set(NAMES) - entities(prompt))
    return named - set(NAMES) if task.group != "name" else named


def _unsupported(task: Task, reading: Reading) -> int:
    if task.kind not in ("closed", "summarize"):
        return 0
    world = task.paragraph.world
    return sum(not world.supports(clause) for clause in reading.flat)


def _instruction(task: Task, reading: Reading) -> tuple[float, float]:
    """How well the task is done, and how many sentences serve it."""
    if task.kind == "chat":
        return _chat(task, reading)
    one = {
        "closed": _closed,
        "classify": _classified,
        "extract": _extracted,
        "summarize": _summarized,
        "rewrite": _rewritten,
    }
    if task.kind in one:
        return one[task.kind](task, reading), 1.0
    if task.core == "list":
        return _listed(task, reading), 1.0
    if task.core == "describe":
        return _described(task, reading)
    return _story(task, reading) if task.core == "story" else (0.0, 0.0)


def _named(sentence: Sentence | None) -> set[str]:
    if sentence is None:
        return set()
    named = set(sentence.items)
    for clause in sentence.clauses:
        named |= {*clause.subject, clause.object, clause.target, clause.place, clause.company, *clause.traits}
    return named - {""}


def _hits(sentence: Sentence | None, right: tuple[frozenset[str], ...], asked: set[str]) -> bool:
    named = _named(sentence)
    if sentence is None or any(clause.negated for clause in sentence.clauses):
        return False
    pronouns = {"it", "she", "he", "they"}
    return any(answer <= named and named <= answer | asked | pronouns for answer in right)


def _closed(task: Task, reading: Reading) -> float:
    if task.question is None:
        return 0.0
    asked = _named(Sentence("question", (task.question,)))
    return float(_hits(reading.parsed[0], answers(task.question, task.paragraph), asked))


def _classified(task: Task, reading: Reading) -> float:
    label = frozenset({right_label(task).split()[-1]})
    return float(_hits(reading.parsed[0], (label,), {task.noun, "text", "story", "sentence", "they"} - {""}))


def _items(reading: Reading) -> list[str]:
    return [
        item for parsed in reading.parsed if parsed is not None and parsed.form == "fragment" for item in parsed.items
    ]


def _extracted(task: Task, reading: Reading) -> float:
    items, right = _items(reading), set(extracted(task.text, task.group))
    hits = len(set(items) & right)
    return 2 * hits / (len(items) + len(right)) if items else 0.0


def _listed(task: Task, reading: Reading) -> float:
    items = _items(reading)
    right = len(set(items) & set(true_members(task.group, task.quality)))
    off = abs(len(items) - task.number)
    return (
        max(0.0, (right - (len(items) - right)) / max(task.number, 1)) * max(0.0, 1 - off / task.number)
        if right
        else 0.0
    )


def _summarized(task: Task, reading: Reading) -> float:
    if len(reading.sentences) != 1 or not reading.flat:
        return 0.0
    events, world = task.paragraph.flat, task.paragraph.world
    told = {clause for clause in reading.flat if world.supports(clause)}
    hero = events[0].subject[0]
    about = 1.0 if any(hero in clause.subject for clause in told) else 0.5
    copied = reading.sentences[0] in task.paragraph.sentences
    return about * min(1.0, len(told) / 2) * (0.6 if copied else 1.0)


def _rewritten(task: Task, reading: Reading) -> float:
    source, said = task.paragraph.parsed[0], reading.parsed[0]
    if source is None or said is None or len(reading.sentences) != 1 or len(said.clauses) != 1:
        return 0.0
    wanted, question = rewritten(source.clauses[0], task.transform), "question" in task.transform
    if (said.form == "question") != question:
        return 0.0
    got, parts = said.clauses[0], Clause._fields[:9]
    if got.tense != wanted.tense or got.negated != wanted.negated or got.verb != wanted.verb:
        return 0.0
    same = sum(getattr(got, part) == getattr(wanted, part) for part in parts) / len(parts)
    return 1.0 if same == 1 else same**4 if got.subject == wanted.subject else 0.0


def _described(task: Task, reading: Reading) -> tuple[float, float]:
    told = set()
    serves = 0
    for clauses in reading.clauses:
        true = {
            (clause.verb, clause.object, clause.traits, clause.place)
            for clause in clauses
            if task.noun in (*clause.subject, clause.object) and true_of(clause._replace(owner="a"))
        }
        told |= true
        serves += bool(true)
    return min(1.0, len(told) / min(2, task.limit or 2)), serves


def _story(task: Task, reading: Reading) -> tuple[float, float]:
    wanted = {*task.topic, *([task.place] if task.place else [])}
    seen, serves = set(wanted), 0
    acting, met = set[str](), set[str]()
    for clauses in reading.clauses:
        named = {
            word
            for clause in clauses
            for word in (*clause.subject, clause.object, clause.target, clause.place, clause.company)
        }
        serves += bool(named & seen)
        seen |= named if named & seen else set()
        met |= named & wanted
        acting |= {one for clause in clauses for one in clause.subject}
    events = len(set(reading.flat))
    if not wanted or not events:
        return 0.0, 0.0
    hero = 1.0 if not task.topic or task.topic[0] in acting else 0.6
    full = min(1.0, events / 3)
    return len(met) / len(wanted) * hero * full, min(serves, _MOST_SENTENCES["story"])


_MEETS = {
    "bad": ("sorry", "sorry-feel", "comfort", "hope-find", "offer", "what-happened"),
    "good": ("glad", "enjoy"), "well": ("well",), "welcome": ("welcome",), "bye": ("bye",), "greet": ("greet",),
}  # fmt: skip
_FULL = {"bad": ("sorry", "sorry-feel"), "good": ("glad", "enjoy")}


def _chat(task: Task, reading: Reading) -> tuple[float, float]:
    wanted = demands(task.message)
    real = [demand for demand in wanted if demand.kind != "greet"] or wanted
    met = [max((_meets(demand, parsed) for parsed in reading.parsed), default=0.0) for demand in real]
    serves = sum(
        parsed is not None
        and (parsed.act in ("greet", "name", "ask-well") or any(_meets(d, parsed) > 0 for d in wanted))
        for parsed in reading.parsed
    )
    acts = {parsed.act for parsed in reading.parsed if parsed is not None}
    kinds = {demand.kind for demand in wanted}
    tactless = ("bad" in kinds and acts & {"glad", "enjoy"}) or (
        "good" in kinds and acts & {"sorry", "sorry-feel", "comfort"}
    )
    done = sum(met) / len(met) if met else float("greet" in acts)
    return done * (0.2 if tactless else 1.0), min(serves, _MOST_SENTENCES["chat"])


def _meets(demand: Demand, parsed: Sentence | None) -> float:
    if parsed is None:
        return 0.0
    if demand.kind == "fact" and demand.question is not None:
        asked = _named(Sentence("question", (demand.question,)))
        return float(_hits(parsed, fact_answers(demand.question), asked))
    if parsed.act not in _MEETS[demand.kind]:
        return 0.0
    things = [slot for slot in parsed.slots if slot in THINGS]
    if things and demand.thing not in things:
        return 0.2
    return 1.0 if parsed.act in _FULL.get(demand.kind, _MEETS[demand.kind]) else 0.5


__all__ = ["Assessment", "assess", "gold", "lru_cache"]
