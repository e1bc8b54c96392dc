"""What the text commands have in common: devices, threads, models, gold standards."""

import importlib
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrl.commands.devices import usable_processors
from prefrl.errors import PrefrlError, require

if TYPE_CHECKING:
    from prefrl.text.models import LanguageModel
    from prefrl.text.policy import Gold
    from prefrl.text.simulated import Person


def begin(folder: Path, config: dict[str, Any], *, quiet: bool) -> int:
    """Make a run's folder and carry the run out."""
    from prefrl.commands.training import FORMAT, carry_out, domain_of
    from prefrl.provenance import provenance
    from prefrl.runs import create_folder

    seed, members, rank = config["seed"], config.get("members", 1), config.get("lora", 0)
    likelihood, held_out = config.get("likelihood", 0.0), config.get("held_out", 0.0)
    require(0 <= seed < 2**32, "--seed", f"at least 0 and below {2**32}", seed)
    require(members >= 1, "--members", "at least 1", members)
    require(rank >= 0, "--lora", "at least 0", rank)
    require(0 <= likelihood < math.inf, "--likelihood", "at least 0 and finite", likelihood)
    require(0 <= held_out < 1, "--held-out", "at least 0 and below 1", held_out)
    whole = {"format": FORMAT, **config, **provenance()}
    domain_of(whole).check(whole)
    create_folder(folder, whole)
    try:
        return carry_out(folder, quiet=quiet)
    except PrefrlError:
        if _nothing_done(folder):  # a file that could not be read: mended, the same command begins anew
            shutil.rmtree(folder)
        raise


def _nothing_done(folder: Path) -> bool:
    from prefrl.runs import newest_checkpoint
    from prefrl.store import PreferenceStore

    if newest_checkpoint(folder) is not None:
        return False
    path = folder / "preferences.db"
    if not path.exists():
        return True
    with PreferenceStore(path) as store:
        return store.asked == 0


def processors(threads: int | None) -> int:
    """Processor threads: as many as may be used, unless told otherwise."""
    require(threads is None or threads >= 1, "--threads", "at least 1", threads)
    return threads or usable_processors()


def open_model(name: str, device: str) -> "LanguageModel":
    """A model, quietly."""
    from prefrl.text.models import load_model

    be_quiet()
    return load_model(name, device=device)


def open_learning(config: dict[str, Any]) -> "LanguageModel":
    """The model that a run begins with, with adapters and compiled if it says so."""
    from prefrl.text.models import compiled, with_lora

    lm = open_model(config["model"], config["device"])
    if config["lora"]:
        lm = with_lora(lm, rank=config["lora"], seed=config["seed"])
    return compiled(lm) if config.get("compile") else lm


def be_quiet() -> None:
    """Keep transformers from drawing bars of its own into our display."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def find_gold(name: str | None) -> "Gold | None":
    """The function that `module:function` names: (prompt, answer) -> what the answer is worth."""
    if name is None:
        return None
    gold: Gold = _named(name, "gold standard", like="prefrl_envs.tiny_instruct:gold")
    if not callable(gold):
        raise PrefrlError(f"{name} is no function; a gold standard takes a prompt and an answer and returns a number")
    return gold


def find_people(name: str) -> "Sequence[Person]":
    """The people that the function which `module:function` names returns."""
    from prefrl.text.simulated import Person

    function = _named(name, "simulated people", like="prefrl_envs.tiny_instruct:training_labelers")
    people = function() if callable(function) else None
    if not isinstance(people, Sequence) or not people or not all(isinstance(person, Person) for person in people):
        raise PrefrlError(
            f"{name} gives no simulated people: it must be a function that returns at least one, each with a `name` "
            "and `rank(prompt, answers, rng)`, the places of the answers, best first"
        )
    return people


def _named(name: str, what: str, *, like: str) -> Any:
    """What `module:function` names."""
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError, TypeError) as error:  # the last two of names such as ./x:y
        raise PrefrlError(f"no {what} {name}: {error}; name one as module:function, such as {like}") from error


@contextmanager
def memory(advice: str) -> Iterator[None]:
    """Turn memory that is exhausted into a sentence with advice, and a model that cannot be compiled into another."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise PrefrlError(f"out of memory; {advice}") from error
    except RuntimeError as error:
        from torch._dynamo.exc import BackendCompilerFailed

        if isinstance(error, BackendCompilerFailed):
            reason = str(error).splitlines()[0]
            raise PrefrlError(
                f"torch.compile failed: {reason}; install a C compiler, or begin a run without --compile"
            ) from error
        if "allocate memory" not in str(error):
            raise
        raise PrefrlError(f"out of memory; {advice}") from error
