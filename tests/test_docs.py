"""What is public is explained."""

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import prefrl
from prefrl import commands
from prefrl.commands.text import TextVerb

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def verbs() -> dict[str, type[Any]]:
    """The class behind each `prefrl VERB`, and behind each `prefrl text VERB`."""
    found = {config.name: verb for verb, config in map(get_args, get_args(commands.Verb))}
    return found | {f"text {config.name}": verb for verb, config in map(get_args, get_args(TextVerb))}


def test_the_verbs() -> None:
    assert {"train", "resume", "sweep", "report", "watch", "label", "labels", "doctor", "text", "text train"} <= set(
        verbs()
    )


@pytest.mark.parametrize("name", prefrl.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    thing = getattr(prefrl, name)
    assert name in dir(prefrl)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        # Not a dataclass's made-up one, nor one that was inherited.
        assert thing.__doc__
        assert not thing.__doc__.startswith(f"{name}(")
        for method, value in vars(thing).items() if inspect.isclass(thing) else ():
            if inspect.isfunction(value) and not method.startswith("_") and value.__module__ == thing.__module__:
                inherited = any(hasattr(base, method) for base in thing.__mro__[1:])
                explained = value.__doc__ or inherited or getattr(thing, "_is_protocol", False)
                assert explained or (name, method) == ("Oracle", "judge"), f"{name}.{method}"
    else:  # an alias, which can have no docstring: a comment says what it is
        module = Path(inspect.getfile(prefrl)).parent / f"{prefrl._MODULE[name]}.py"
        assert re.search(rf"^{name} = .*#.+$", module.read_text(), re.MULTILINE)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'prefrl' has no attribute 'train_reward_modle'"):
        prefrl.train_reward_modle  # noqa: B018


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_and_option_has_help(verb: str) -> None:
    cls = verbs()[verb]
    assert cls.__doc__
    assert not cls.__doc__.startswith(f"{cls.__name__}(")
    body = next(node for node in ast.parse(inspect.getsource(cls)).body if isinstance(node, ast.ClassDef)).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            explained = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            assert explained, f"{verb}: {ast.unparse(node.target)}"


@pytest.mark.parametrize("verb", verbs())
def test_the_readme_shows_every_verb(verb: str) -> None:
    assert f"prefrl {verb}" in README


def test_what_the_readme_types_exists() -> None:
    for verb, rest in re.findall(r"^prefrl ((?:text )?[\w-]+)(.*)$", README, re.MULTILINE):
        fields = {name.replace("_", "-") for name in inspect.signature(verbs()[verb]).parameters}
        assert set(re.findall(r"--([\w-]+)", rest.split("#")[0])) <= fields, (verb, rest)
    for names in re.findall(r"^from prefrl import (.*)$", README, re.MULTILINE):
        assert set(names.split(", ")) <= set(prefrl.__all__)
    for target in re.findall(r"^make ([\w-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_the_readme_s_tree_names_every_file() -> None:
    for path in (ROOT / "prefrl").glob("*.py"):
        assert path.name.startswith("__") or f"  {path.name} " in README, path.name
    for path in (ROOT / "prefrl").iterdir():
        if path.is_dir() and any(path.glob("*.py")):
            assert f"  {path.name}/ " in README, path.name


def test_tables_are_what_the_data_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables in experiments/results and in the README are made from the committed data, never typed."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    choices, learning, readme, sweeping = map(importlib.import_module, ("choices", "learning", "readme", "sweeping"))
    made = {"learning": learning.table(sweeping.load("learning"))}
    for name, choice in choices.CHOICES.items():
        if not {row.name for row in choice.rows} <= sweeping.load(name).keys():
            assert not (sweeping.RESULTS / f"{name}.md").exists(), f"{name}: a table without its data"
            continue
        made[name] = choices.table(name, choice, sweeping.load(name))
    labeling = importlib.import_module("labeling")
    if labeling.MEASUREMENTS.keys() - {"text"} <= sweeping.load("labeling").keys():
        made["labeling"] = labeling.table(sweeping.load("labeling"))
    for name in ("overoptimization", "text_demo", "text_labels"):
        if found := sweeping.load(name):
            made[name] = importlib.import_module(name).table(found)
        else:
            assert not (sweeping.RESULTS / f"{name}.md").exists(), f"{name}: a table without its data"
    made["games"] = importlib.import_module("games").table(sweeping.load("games"))
    paper = importlib.import_module("paper")
    made |= paper.tables(paper.studies())
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "benchmarks"))
    text_ppo = importlib.import_module("text_ppo")
    if text_ppo.load():
        made["text-ppo"] = text_ppo.table(text_ppo.load())
    for name, table in made.items():
        assert (sweeping.RESULTS / f"{name}.md").read_text() == table, f"{name}: make the table again"
    assert readme.filled(README) == README, "python experiments/readme.py"
