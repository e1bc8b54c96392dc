"""A module imports only lower floors; what breaks that is named here, with the line."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"prefrl": ROOT, "prefrl_envs": ROOT / "envs", "prefrl_labeling": ROOT / "labeling_ui"}

FLOORS = {
    0: ["errors", "stacks", "segments", "comparisons", "answers", "choice", "acquisition"],
    1: [
        *("ensemble", "files", "fitting", "labelers", "measuring", "processor", "provenance", "schedule"),
        *("segment_bytes", "state_files", "store", "store_file", "store_format"),
    ],
    2: ["loop", "runs"],
    3: ["control", "text"],
    4: ["commands"],
    5: ["__main__"],
}
FLOOR = {f"prefrl.{name}": floor for floor, names in FLOORS.items() for name in names} | {"prefrl_labeling": 3}
APART = {"prefrl.control", "prefrl.text", "prefrl_labeling"}  # the adapters: never import each other
PLAIN = {  # standard library and numpy
    "prefrl.answers",
    "prefrl.errors",
    "prefrl.files",
    "prefrl.provenance",
    "prefrl.schedule",
    "prefrl.segment_bytes",
    "prefrl.store",
    "prefrl.store_file",
    "prefrl.store_format",
}
LIBRARIES = {"numpy", "torch", "safetensors"}  # all that floors 0 to 2 may use
HEAVY = ["gymnasium", "stable_baselines3", "sb3_contrib", "transformers", "pygame", "mujoco"]


class Import(NamedTuple):
    importer: str  # a module
    imported: str  # a module, or a name in one
    where: str  # path:line
    at_once: bool  # when the importer is imported, not when a function of it is called


def modules() -> dict[str, Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((folder / package).rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(node: ast.AST, *, at_once: bool = True) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_once
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in (*child.body, *child.orelse):  # seen by type checkers, never run
                yield from statements(ast.Module([statement], []), at_once=False)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from statements(child, at_once=at_once and not inside)


def imports() -> list[Import]:
    found, known = [], modules()
    for name, path in known.items():
        for statement, at_once in statements(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{statement.lineno}"
            if isinstance(statement, ast.Import):
                targets = [alias.name for alias in statement.names]
            else:
                assert statement.level == 0, f"{where} is a relative import; write the whole name"
                full = [f"{statement.module}.{alias.name}" for alias in statement.names]
                targets = [target if target in known else str(statement.module) for target in full]
            found += [Import(name, target, where, at_once) for target in targets]
    return found


def room(module: str) -> str:
    """The part of the house a module stands in: `prefrl.control.learner` in `prefrl.control`."""
    return ".".join(module.split(".")[: 2 if module.startswith("prefrl.") else 1])


IMPORTS = imports()


def ours(name: str) -> bool:
    return name.split(".")[0] in PACKAGES


def test_every_module_has_a_floor() -> None:
    assert {room(name) for name in modules()} <= {*FLOOR, "prefrl", "prefrl_envs"}


def test_modules_import_only_lower_floors() -> None:
    wrong = []
    for importer, imported, where, _ in IMPORTS:
        here, there = room(importer), room(imported)
        if here in FLOOR and there in FLOOR and here != there and FLOOR[there] >= FLOOR[here]:
            neighbors = FLOOR[there] == FLOOR[here] <= 2
            if not neighbors:
                wrong.append(f"{where}: {importer} (floor {FLOOR[here]}) imports {imported} (floor {FLOOR[there]})")
    assert wrong == []


def test_adapters_never_import_each_other() -> None:
    wrong = []
    for importer, imported, where, _ in IMPORTS:
        if room(importer) != room(imported) and {room(importer), room(imported)} <= APART:
            wrong.append(f"{where}: {importer} imports {imported}")
    assert wrong == []


def test_worlds_know_nothing_of_prefrl() -> None:
    known = {"prefrl", "prefrl_labeling"}
    assert [i for i in IMPORTS if room(i.importer) == "prefrl_envs" and i.imported.split(".")[0] in known] == []


def test_nobody_imports_the_list_of_public_names() -> None:
    assert [i for i in IMPORTS if i.imported == "prefrl"] == []
    assert [i for i in IMPORTS if i.importer == "prefrl" and i.at_once and ours(i.imported)] == []


def test_low_floors_use_few_libraries() -> None:
    wrong = []
    for importer, imported, where, _ in IMPORTS:
        library = imported.split(".")[0]
        if FLOOR.get(room(importer), 9) > 2 or library in sys.stdlib_module_names or room(imported) in FLOOR:
            continue
        if library not in ({"numpy"} if importer in PLAIN else LIBRARIES):
            wrong.append(f"{where}: {importer} imports {imported}")
    assert wrong == []


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for importer, imported, _, at_once in IMPORTS:
        if at_once and imported in graph:
            graph[importer].add(imported)
    TopologicalSorter(graph).prepare()  # raises CycleError with the cycle


def test_nothing_is_called_utils() -> None:
    assert [name for name in modules() if name.split(".")[-1] in ("utils", "util", "helpers", "common", "misc")] == []


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import prefrl", ["torch", "numpy", *HEAVY]),
        ("import prefrl.loop, prefrl.runs", HEAVY),
        ("import prefrl_envs", ["torch", "prefrl"]),
    ],
)
def test_imports_stay_light(statement: str, absent: list[str]) -> None:
    """What the syntax tree cannot see: a library that brings another."""
    report = f"{statement}; import sys; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
