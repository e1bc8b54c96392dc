"""Prompts and answers as tokens."""

from collections.abc import Sequence

from prefrl.errors import PrefrlError
from prefrl.text.models import LanguageModel

SLOT = "{prompt}"


def encode_prompt(lm: LanguageModel, prompt: str) -> list[int]:
    """The tokens of a prompt: within the tokenizer's chat template if it has one, otherwise as it is.

    Raises PrefrlError if it has none.
    """
    tokenizer = lm.tokenizer
    if tokenizer.chat_template is None:
        ids: list[int] = tokenizer(prompt)["input_ids"]
        if not ids:
            raise PrefrlError(f"the prompt {prompt!r} has no tokens; an answer needs one to begin at")
        # Some tokenizers end every text; an answer is to follow here.
        return ids[:-1] if len(ids) > 1 and ids[-1] == lm.end else ids
    messages = [{"role": "user", "content": prompt}]
    written = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    found: list[int] = tokenizer(written, add_special_tokens=False)["input_ids"]
    return found


def encode_answer(lm: LanguageModel, answer: str) -> list[int]:
    """The tokens of an answer and the end token."""
    ids: list[int] = lm.tokenizer(answer, add_special_tokens=False)["input_ids"]
    return ids if ids and ids[-1] == lm.end else [*ids, lm.end]


def decode_answers(lm: LanguageModel, answers: Sequence[Sequence[int]]) -> list[str]:
    """Answers as text, without the end token; other special tokens are shown, so that nobody can hide any."""
    bare = [list(ids[:-1] if ids and ids[-1] == lm.end else ids) for ids in answers]
    texts: list[str] = lm.tokenizer.batch_decode(bare, skip_special_tokens=False)
    return [text.strip() for text in texts]


def behind_shots(template: str, shots: Sequence[tuple[str, str]], prompt: str) -> str:
    """A prompt behind demonstrations (prompt, answer), each written by `template`; the prompt up to its {answer}."""
    if SLOT not in template or "{answer}" not in template:
        raise PrefrlError(f"--template needs {{prompt}} and {{answer}}, got {template!r}")
    before = "".join(template.replace(SLOT, asked).replace("{answer}", answer) for asked, answer in shots)
    return before + template.partition("{answer}")[0].rstrip(" ").replace(SLOT, prompt)


def set_template(lm: LanguageModel, template: str) -> None:
    """Have every prompt stand in `template`, such as `q: {prompt} a:`; it is saved with the model as chat template.

    Raises PrefrlError unless the template has one place for the prompt and nothing that a chat template would run.
    """
    before, slot, after = template.partition(SLOT)
    if not slot or SLOT in after:
        raise PrefrlError(f"a template needs {SLOT} once, got {template!r}")
    if any(mark in template.replace(SLOT, "") for mark in ("{", "}")):
        raise PrefrlError(f"a template may hold no braces but those of {SLOT}, got {template!r}")
    start = "{{ bos_token }} " if lm.tokenizer.bos_token is not None else ""
    lm.tokenizer.chat_template = f"{start}{before}{{{{ messages[0]['content'] }}}}{after}"
