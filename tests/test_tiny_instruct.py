"""TinyInstruct: a gold score that cannot be fooled, splits that do not leak, and people who agree as people do."""

import json
import subprocess
import sys
from itertools import combinations, pairwise
from typing import Any, get_args

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import prefrl_envs  # noqa: F401  registers the environment
from prefrl_envs.tiny_instruct import (
    Prompt,
    TokenEnv,
    assess,
    demonstration,
    documents,
    gold,
    labelers,
    prompts,
    text,
    vocabulary,
    words,
)
from prefrl_envs.tiny_instruct.attempts import pairs
from prefrl_envs.tiny_instruct.environment import END
from prefrl_envs.tiny_instruct.lexicon import NAMES, NUMBERS, PLACES, THINGS
from prefrl_envs.tiny_instruct.parsing import mend, parse
from prefrl_envs.tiny_instruct.prompts import Split, customers, draw
from prefrl_envs.tiny_instruct.tasks import GROUPS, KINDS, SINGULAR, understand
from prefrl_envs.tiny_instruct.truth import demands

SPLITS: tuple[Split, ...] = get_args(Split)
PARAGRAPH = "anna took the ball in the park . she gave the ball to ben . ben put the ball in the box ."
ONE = "anna gave the ball to ben ."
PAD = " the dog ran to the park . the cow slept ."

# kind: a prompt; answers as good as can be; answers with a lower score each than the one before
EXAMPLES: dict[str, tuple[str, list[str], list[str]]] = {
    "story": (
        "tell me a story about anna and a ball .",
        [
            "anna wanted a ball . she went to the shop and bought the ball . she was happy .",
            "one day , anna found a ball in the park . she smiled . anna carried the ball to the house .",
        ],
        [
            "anna wanted a ball . she went to the shop .",  # only two events
            "anna laughed . she slept . she danced .",  # no ball
            "ben wanted a ball . he went to the shop and bought the ball . he was happy .",  # no anna
            "anna wanted a ball . zoe met tom . olga slept . max laughed .",  # people from nowhere
            "anna wanted a ball . she went to the",
            "",
        ],
    ),
    "rewrite": (
        f"rewrite the sentence in the future : {ONE}",
        ["anna will give the ball to ben ."],
        [
            "anna will give ball to ben .",  # a slip
            "anna will give the ball to tom .",  # somebody else
            "anna gives the ball to ben .",  # another tense
            f"anna will give the ball to ben .{PAD}",
            "anna will give the",
            "",
        ],
    ),
    "extract": (
        f"list all people in this text : {PARAGRAPH}",
        ["anna and ben .", "ben and anna ."],
        ["anna , ben and tom .", "anna ben .", f"anna and ben .{PAD}", "ball .", "anna and", ""],
    ),
    "summarize": (
        f"summarize this text in one sentence : {PARAGRAPH}",
        ["anna took the ball and gave the ball to ben .", "anna took the ball and ben put it in the box ."],
        [
            "anna took the ball .",  # half of it
            "anna took the ball and gave it to tom .",  # half of it is wrong
            "anna took the ball . ben put the ball in the box .",  # two sentences
            "zoe slept .",
            "anna took the ball and",
            "",
        ],
    ),
    "closed": (
        f"read this text : {PARAGRAPH} question : where is the ball ?",
        ["in the box .", "the ball is in the box .", "it is in the box .", "the box ."],
        [
            "the ball is in box .",  # a slip
            "in the box . in the park .",  # two answers
            f"in the box .{PAD}",
            "zoe has the ball in the park .",
            "in the",
            "",
        ],
    ),
    "list": (
        "name three different animals that can fly .",
        ["an owl , a crow and a bee .", "owl , crow and bee ."],
        [
            "owl , crow , bee and duck .",  # four
            "an owl , a crow and a dog .",  # one is wrong
            "an owl , an owl and an owl .",
            "a dog , a cat and a cow .",
            "owl , crow and",
            "",
        ],
    ),
    "chat": (
        "hello . i am anna . i lost my ball .",
        ["hello anna . i am sorry about your ball .", "i am so sorry .", "that is very sad ."],
        [
            "hello tom . i am sorry about your ball .",  # somebody else
            "hello anna . i am sorry your ball .",  # a slip
            "i am sorry about your hat .",
            "hello anna . i am sorry about your",
            "that is great !",
            "",
        ],
    ),
    "classify": (
        "say whether the text is happy or sad : anna lost the ball . she was sad .",
        ["sad .", "it is sad .", "the text is sad ."],
        ["it sad .", "sad . happy .", f"sad .{PAD}", "it is not sad .", "the", ""],
    ),
    "limit": (
        "tell me about an owl in at most two sentences .",
        ["an owl is a bird . it can fly .", "an owl is brown . it lives in the forest ."],
        [
            "an owl is a bird .",  # could say more
            "an owl is a bird . it can fly . it is brown .",  # three
            "an owl is a bird . a dog is an animal .",
            "an owl is a bird . it can",
            "a dog is an animal . it can run .",
            "",
        ],
    ),
    "avoid": (
        "tell me a story about anna but do not mention the park .",
        ["anna was tired . she went to the house . she rested ."],
        [
            "anna was tired . she went to . she rested .",
            "anna was tired . she went to the park . she rested .",
            "anna . anna . anna .",
            "",
        ],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_answer_has_score_one_and_others_less_in_order(kind: str) -> None:
    prompt, right, worse = EXAMPLES[kind]
    assert [gold(prompt, answer) for answer in right] == pytest.approx([1.0] * len(right))
    scores = [gold(prompt, answer) for answer in worse]
    assert scores[0] < 0.75
    assert all(better >= lower for better, lower in pairwise(scores)), scores
    assert gold(prompt, "") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_copies_padding_repetition_garbage_and_missing_ends_cost_much(kind: str) -> None:
    prompt, (best, *_), _ = EXAMPLES[kind]
    assert gold(prompt, prompt) < 0.15
    assert gold(prompt, f"{prompt} {best}") < 0.4
    assert gold(prompt, f"{best} {best}") < 0.3
    assert gold(prompt, " ".join(["the"] * 20)) < 0.05
    assert gold(prompt, best.rsplit(" ", 1)[0]) < 0.45
    assert gold(prompt, best + 3 * PAD) < gold(prompt, best + PAD) < 0.7
    assert gold(prompt, "lol . click here for the next page .") < 0.15


def test_the_parts_of_the_score_name_what_is_wrong() -> None:
    prompt = f"read this text : {PARAGRAPH} question : where is the ball ?"
    right = assess(prompt, "the ball is in the box .")
    parts = (right.instruction, right.constraint, right.grammar, right.truth, right.entities, right.relevance)
    assert (*parts, right.form, right.tokens) == (1, 1, 1, 1, 1, 1, 1, 7)
    assert assess(prompt, "the ball is in the bag .").truth == 0.5
    assert assess(prompt, "zoe has the ball .").entities == 0.5
    assert assess(prompt, "in the box . the dog slept .").relevance == 0.5
    assert assess(prompt, "in the box").form == 0.4
    # form * (0.1 * grammar + 0.9 * instruction * relevance): the instruction is the mean of 1 and 0
    assert gold(prompt, "in the box . in the park .") == pytest.approx(0.1 + 0.9 * 0.5 * 0.5)


def test_a_contradiction_halves_the_truth() -> None:
    prompt = "tell me a story about anna ."
    good = "anna was in the park . she found a ball . she gave the ball to ben ."
    once = "anna was in the park . she found a ball . she gave the ball to ben . anna hid the ball in the box ."
    assert gold(prompt, once) < gold(prompt, good)
    assert assess(prompt, once).truth == 0.5


def test_a_label_that_is_true_of_nothing_is_right_for_nobody() -> None:
    prompt = "is a hammer a fruit or a vehicle ?"
    assert max(gold(prompt, answer) for answer in ("a fruit .", "a vehicle .", "it is a fruit .")) <= 0.1
    assert gold("is a hammer a tool or a vehicle ?", "a tool .") == 1
    assert gold("is a hammer a vehicle or a tool ?", "a tool .") == 1


def test_a_prompt_that_asks_for_nothing_known_is_never_answered() -> None:
    assert understand("fish the of .").kind == ""
    assert gold("fish the of .", "anna went to the park .") <= 0.1


@pytest.mark.parametrize("split", SPLITS)
def test_every_prompt_is_understood_as_it_was_meant(split: Split) -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        prompt, content = draw(rng, split)
        task = understand(prompt.text)
        assert task.kind == prompt.kind, prompt.text
        for slot, value in content.items():
            assert _understood(slot, value, task), (slot, value, prompt.text)


def _understood(slot: str, value: str, task: Any) -> bool:
    last = value.split()[-1] if value else ""
    if slot == "TOPIC":
        topic = {word for word in value.split() if word in NAMES or word in THINGS or word in PLACES}
        return {*task.topic, task.place} - {""} == topic
    if slot == "GROUP":
        return bool(task.group == (GROUPS.get(value, SINGULAR.get(value)) if task.text else SINGULAR[value]))
    if slot == "MESSAGE":
        pieces, start = [], 0
        said = tuple(value.split())
        for i, word in enumerate(said):
            if word in (".", "?", "!"):
                pieces.append(said[start : i + 1])
                start = i + 1
        wanted = demands(tuple(pieces))
        return bool(wanted) and [demand for demand in demands(task.message) if demand.kind != "greet"] == wanted
    if slot == "QUERY":
        parsed = parse(tuple(value.split()))
        return parsed is not None and task.question == parsed.clauses[0]
    expected = {
        "TEXT": lambda: task.text == value,
        "TRANSFORM": lambda: task.transform == value,
        "LABEL": lambda: value in task.labels,
        "OTHER": lambda: value in task.labels,
        "NOUN": lambda: task.noun == last,
        "LIMIT": lambda: task.limit == NUMBERS.index(value) + 1,
        "NUMBER": lambda: task.number == NUMBERS.index(value) + 1,
        "QUALITY": lambda: task.quality == value.removeprefix("that "),
        "AVOID": lambda: (task.avoid, task.avoid_any) == (last, value.startswith("any ")),
    }
    return slot in ("sentence", "sentences") or expected[slot]()


@pytest.fixture(scope="module")
def asked() -> list[Prompt]:
    return prompts(600, np.random.default_rng(1))


@pytest.fixture(scope="module")
def shown(asked: list[Prompt]) -> list[str]:
    rng = np.random.default_rng(2)
    return [demonstration(prompt, rng) for prompt in asked]


def test_demonstrations_are_good_and_beat_those_of_other_prompts(asked: list[Prompt], shown: list[str]) -> None:
    own = np.array([gold(prompt.text, answer) for prompt, answer in zip(asked, shown, strict=True)])
    # 7 places on is another prompt, mostly of another kind.
    other = np.array([gold(p.text, answer) for p, answer in zip(asked, shown[7:] + shown[:7], strict=True)])
    assert 0.94 < own.mean() < 0.995, own.mean()
    assert other.mean() < 0.2
    assert (own > other).mean() > 0.97
    for kind in KINDS:
        mine = own[[prompt.kind == kind for prompt in asked]]
        assert mine.mean() > 0.85, (kind, mine.mean())


def test_a_damaged_demonstration_is_worth_less_but_not_nothing(asked: list[Prompt], shown: list[str]) -> None:
    rng = np.random.default_rng(3)
    whole, slipped, cut = [], [], []
    for prompt, answer in zip(asked, shown, strict=True):
        said = answer.split()
        if len(said) < 5:
            continue
        at = int(rng.integers(len(said) - 1))
        whole.append(gold(prompt.text, answer))
        slipped.append(gold(prompt.text, " ".join(said[:at] + said[at + 1 :])))
        cut.append(gold(prompt.text, " ".join(said[: len(said) // 2])))
    assert np.mean(cut) < 0.2 < np.mean(slipped) < 0.7 < np.mean(whole)
    assert np.mean(np.array(slipped) < 0.02) < 0.1  # a slip is seldom worth nothing
    assert np.mean(np.array(slipped) > np.array(whole)) < 0.05


def test_breaking_a_constraint_lowers_the_score(asked: list[Prompt], shown: list[str]) -> None:
    broken = 0
    for prompt, answer in zip(asked, shown, strict=True):
        task, score = understand(prompt.text), gold(prompt.text, answer)
        if score < 0.9:
            continue
        if task.kind == "avoid" and not task.avoid_any and task.avoid in NAMES:
            broken += 1
            assert gold(prompt.text, f"{answer} {task.avoid} laughed .") < 0.5 * score
        if task.kind == "limit":
            broken += 1
            longer = " ".join([answer, *["it was big .", "it was small .", "it was new ."]])
            assert gold(prompt.text, longer) < 0.5 * score
    assert broken > 20


def test_splits_share_no_customer_no_template_no_content_and_no_prompt() -> None:
    rng = np.random.default_rng(4)
    both = {split: [draw(rng, split) for _ in range(400)] for split in SPLITS}
    drawn = {split: [prompt for prompt, _ in found] for split, found in both.items()}
    about = {split: {(p.kind, *sorted(slots.items())) for p, slots in found} for split, found in both.items()}
    seen = {
        split: {
            template
            for who in customers()
            if who.split == split
            for both in who.templates.values()
            for template in both
        }
        for split in SPLITS
    }
    for one, other in combinations(SPLITS, 2):
        a, b = drawn[one], drawn[other]
        assert not {prompt.customer for prompt in a} & {prompt.customer for prompt in b}
        assert not {prompt.text for prompt in a} & {prompt.text for prompt in b}
        assert not about[one] & about[other]
        assert not seen[one] & seen[other]
    assert {prompt.kind for prompt in drawn["test"]} == set(KINDS)


def test_documents_hold_no_prompt_of_another_split() -> None:
    read = " ".join(documents(500, np.random.default_rng(5)))
    held_out = prompts(150, np.random.default_rng(6), "test") + prompts(50, np.random.default_rng(6), "validation")
    long = [prompt for prompt in held_out if len(prompt.text.split()) > 4]
    assert not [prompt.text for prompt in long if f" {prompt.text} " in f" {read} "]


def test_the_vocabulary_is_closed(asked: list[Prompt], shown: list[str]) -> None:
    known = set(vocabulary())
    assert 600 <= len(vocabulary()) <= 1000
    assert len(known) == len(vocabulary())
    written = [*documents(400, np.random.default_rng(7)), *(prompt.text for prompt in asked), *shown]
    for line in written:
        assert set(words(line)) <= known, set(words(line)) - known
        assert text(words(line)) == line


def test_the_same_seed_writes_the_same() -> None:
    def everything(seed: int) -> tuple[list[str], list[Prompt], list[str]]:
        rng = np.random.default_rng(seed)
        asked = prompts(30, rng, "test")
        return documents(30, rng), asked, [demonstration(prompt, rng) for prompt in asked]

    assert everything(0) == everything(0)
    assert everything(0) != everything(1)


_WORDS = st.lists(st.sampled_from((*vocabulary(), "q:", "<end>", "zzz")), max_size=40).map(" ".join)


@given(prompt=_WORDS, answer=_WORDS, example=st.sampled_from([prompt for prompt, _, _ in EXAMPLES.values()]))
def test_any_words_have_a_score_between_0_and_1(prompt: str, answer: str, example: str) -> None:
    assert 0 <= gold(example, answer) <= 1
    assert 0 <= gold(prompt, answer) <= 1


@given(example=st.sampled_from(sorted(EXAMPLES)), data=st.data())
def test_damaged_right_answers_have_a_score_between_0_and_1(example: str, data: st.DataObject) -> None:
    prompt, right, worse = EXAMPLES[example]
    said = data.draw(st.sampled_from([*right, *worse])).split()
    for _ in range(data.draw(st.integers(0, 3))):
        said.insert(data.draw(st.integers(0, len(said))), data.draw(st.sampled_from(vocabulary())))
    assert 0 <= gold(prompt, " ".join(said)) <= 1


def test_a_slip_is_mended() -> None:
    whole, well = mend(("anna", "went", "to", "the", "park", "."))
    assert well == 1
    assert mend(("anna", "went", "to", "park", ".")) == (whole, 0.5)
    assert mend(("anna", "went", "to", "the", "the", "park", ".")) == (whole, 0.5)
    assert mend(("anna", "went", "to", "the", "park")) == (whole, 0.5)
    # `anna went` is understood, 2 words of 5
    assert mend(("anna", "went", "to", "went", ".")) == (None, pytest.approx(0.4 * 2 / 5))


def test_people_agree_as_often_as_people_do() -> None:
    """72 to 77 % of pairs; the probability that two people choose alike, so there is no noise of single answers."""
    people = labelers()
    assert (len(people), sum(person.held_out for person in people)) == (20, 5)
    rng = np.random.default_rng(8)
    chosen = []
    for prompt, answers in pairs(prompts(600, rng), rng):
        parts = [assess(prompt.text, answer) for answer in answers]
        margin = [who.utility(parts[0]) - who.utility(parts[1]) + who.position for who in people]
        chosen.append(1 / (1 + np.exp(-np.array(margin))))
    p = np.array(chosen)  # [pairs, people]
    alike = np.mean(p[:, :, None] * p[:, None] + (1 - p[:, :, None]) * (1 - p[:, None]), axis=0)
    training = np.array([not person.held_out for person in people])
    among = alike[np.ix_(training, training)][~np.eye(training.sum(), dtype=bool)].mean()
    across = alike[np.ix_(training, ~training)].mean()
    assert 0.72 < among < 0.77
    assert 0.72 < across < 0.77


def test_a_person_s_choices_follow_their_probability() -> None:
    person, rng = labelers()[0], np.random.default_rng(9)
    prompt, right, worse = EXAMPLES["closed"]
    answers = [worse[1], right[0]]
    first = np.mean([person.compare(prompt, answers, rng) == 0 for _ in range(800)])
    u = [person.utility(assess(prompt, answer)) for answer in answers]
    noise = rng.normal(size=20_000)
    expected = np.mean(1 / (1 + np.exp(-(u[0] - u[1] + person.position * (1 + noise)))))
    assert abs(first - expected) < 0.06
    assert sorted(person.rank(prompt, [*right, *worse], rng)) == list(range(len(right) + len(worse)))


def test_attempts_are_two_different_answers(asked: list[Prompt]) -> None:
    found = pairs(asked[:100], np.random.default_rng(10))
    assert [prompt for prompt, _ in found] == asked[:100]
    assert all(one != other for _, (one, other) in found)


def test_gymnasium_s_own_check() -> None:
    check_env(TokenEnv(), skip_render_check=True)


def test_an_episode_is_an_answer_and_its_reward_the_gold_score() -> None:
    env = gymnasium.make("prefrl/TinyInstruct-v0", disable_env_checker=True).unwrapped
    assert isinstance(env, TokenEnv)
    prompt, (right, *_), _ = EXAMPLES["closed"]
    seen, info = env.reset(seed=0, options={"prompt": prompt})
    assert [env.tokens[i] for i in info["context"]] == prompt.split()
    assert env.tokens[seen] == prompt.split()[-1]
    for word in right.split():
        seen, reward, done, late, info = env.step(np.int64(env.tokens.index(word)))
        assert (env.tokens[seen], reward, done, late) == (word, 0.0, False, False)
    _, reward, done, late, info = env.step(np.int64(env.tokens.index(END)))
    assert (reward, done, late, info["answer"]) == (1.0, True, False, right)


def test_an_answer_without_an_end_is_cut_and_scored_as_it_stands() -> None:
    env = TokenEnv(max_tokens=3)
    prompt = EXAMPLES["closed"][0]
    env.reset(seed=0, options={"prompt": prompt})
    for word in ("in", "the"):
        assert env.step(np.int64(env.tokens.index(word)))[1:4] == (0.0, False, False)
    _, reward, done, late, info = env.step(np.int64(env.tokens.index("box")))
    assert (done, late, info["answer"]) == (False, True, "in the box")
    assert reward == gold(prompt, "in the box")


def test_prompts_of_the_environment_are_of_its_split() -> None:
    for split in SPLITS:
        env = TokenEnv(split=split)
        mine = {who.name for who in customers() if who.split == split}
        drawn = [env.reset(seed=seed)[1]["prompt"] for seed in range(5)]
        again = [prompts(1, np.random.Generator(np.random.PCG64(seed)), split)[0] for seed in range(5)]
        assert drawn == [prompt.text for prompt in again]
        assert {prompt.customer for prompt in again} <= mine


@pytest.mark.parametrize("what", ["documents", "prompts", "demonstrations"])
def test_the_command_writes_json_lines(what: str) -> None:
    command = [sys.executable, "-m", "prefrl_envs.tiny_instruct", what, "--n", "3", "--seed", "1"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    keys = {"documents": {"text"}, "prompts": {"prompt", "kind", "customer"}, "demonstrations": {"prompt", "answer"}}
    assert [set(json.loads(line)) for line in lines] == [keys[what]] * 3


def test_the_command_refuses_a_number_below_zero() -> None:
    command = [sys.executable, "-m", "prefrl_envs.tiny_instruct", "prompts", "--n", "-1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "at least 0, got -1" in done.stderr
