"""Simulated people as labelers."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from text_worlds import Fan, fans

from prefrl.comparisons import Query, Ranking
from prefrl.errors import PrefrlError
from prefrl.segments import Segment, Text
from prefrl.store import PreferenceStore
from prefrl.text.packing import as_segment
from prefrl.text.simulated import SimulatedPeople
from prefrl_envs.tiny_instruct import demonstration, held_out_labelers, labelers, prompts, training_labelers


def answers(*texts: str, prompt: int = 5) -> list[Segment]:
    return [as_segment([prompt], [*map(hash_of, text.split())], Text(f"p{prompt}", text)) for text in texts]


def hash_of(word: str) -> int:
    return int(word.removeprefix("w")) + 3


def test_who_answers_and_what_hang_on_the_question_alone(tmp_path: Path) -> None:
    people = SimulatedPeople(fans(), 0, "text_worlds:fans")
    queries = [Query(tuple(answers("w1 w2", "w3 w4", prompt=p))) for p in range(3, 40)]
    signed: list[dict[str, tuple[str, object]]] = []
    for place, order in enumerate((queries, [Query(q.options[::-1]) for q in queries[::-1]])):
        with PreferenceStore(tmp_path / f"{place}.db") as store:
            for query in order[:20]:  # attended twice, as by a run that was interrupted
                store.ask([query])
            people.attend(store)
            store.ask(order)
            people.attend(store)
            assert len(store) == 37
            log = store.answers()
            signed.append({a.query_id: (a.labeler, a.mu and dict(zip(a.option_ids, a.mu, strict=True))) for a in log})
            assert {tuple(a.provenance.items()) for a in log} == {(("simulated", "text_worlds:fans"), ("seed", 0))}
    assert signed[0] == signed[1]
    names = [name for name, _ in signed[0].values()]
    assert 8 < names.count("zoe") < 29  # of 37, by lot
    best = {query.id: query.options[0].id for query in queries}
    assert all(mu[best[query]] == 1 for query, (_, mu) in signed[0].items())  # type: ignore[index]


def test_more_than_two_are_ranked_in_the_order_of_the_options() -> None:
    """Whatever the order in which they were shown, the person's order comes out."""
    liked = ["w1", "w1 w5", "w9", "w9 w5", "w12"]

    class Exact:
        name = "exact"

        def rank(self, prompt: str, shown: list[str], rng: np.random.Generator, /) -> list[int]:
            return sorted(range(len(shown)), key=lambda i: liked.index(shown[i]))

    people = SimulatedPeople([Exact()], 3, "here")
    options = answers(*liked)
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 7):
        person, judgment = people.judge(Query(tuple(options[i] for i in order)))
        assert person.name == "exact"
        assert judgment == Ranking(order)  # the option that is liked i-th has place i


def test_answers_are_shown_in_an_order_drawn_by_lot() -> None:
    """So that nobody's liking for what comes first favors one option for its place in the query."""
    people = SimulatedPeople([Fan("first", "no such word")], 0, "here")  # always takes what is shown first
    said = [people.judge(Query(tuple(answers("w1", "w2", prompt=p))))[1] for p in range(3, 203)]
    assert 70 < sum(judgment == (1.0, 0.0) for judgment in said) < 130


def test_people_who_do_not_rank_and_options_without_text() -> None:
    class Mute:
        name = "mute"

        def rank(self, prompt: str, shown: list[str], rng: np.random.Generator, /) -> list[int]:
            return [0]

    query = Query(tuple(answers("w1", "w2")))
    with pytest.raises(PrefrlError, match=r"mute of here ranks 2 answers as \[0\]"):
        SimulatedPeople([Mute()], 0, "here").judge(query)
    bare = [Segment(s.obs, s.act, s.context) for s in query.options]
    with pytest.raises(PrefrlError, match="read texts"):
        SimulatedPeople(fans(), 0, "here").judge(Query(tuple(bare)))


def test_the_people_of_tiny_instruct() -> None:
    assert (len(training_labelers()), len(held_out_labelers())) == (15, 5)
    assert training_labelers() + held_out_labelers() == labelers()
    rng = np.random.default_rng(0)
    (prompt,) = prompts(1, rng, "train")
    shown = [Text(prompt.text, demonstration(prompt, rng)), Text(prompt.text, "the the .")]
    query = Query(tuple(as_segment([1], [i], view) for i, view in enumerate(shown)))
    said = [SimulatedPeople(training_labelers(), seed, "t").judge(query) for seed in range(60)]
    assert len({person.name for person, _ in said}) > 10
    assert sum(judgment == (1.0, 0.0) for _, judgment in said) > 40  # most people like an answer better than none
