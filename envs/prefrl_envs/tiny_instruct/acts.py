"""The set phrases of a chat: what each does, and what it speaks of."""

from prefrl_envs.tiny_instruct.grammar import Grammar
from prefrl_envs.tiny_instruct.lexicon import FEELINGS, NAMES, THINGS

_SLOTS = {"NAME": NAMES, "THING": THINGS, "FEELING": FEELINGS}
# act: its phrasings; `NAME`, `THING` and `FEELING` are slots, `(x)` may be left out, `a/b` are alternatives
ACTS = {
    "greet": ("hello/hi/hey ./!", "hello/hi/hey NAME ./!", "good morning/evening (NAME) ./!", "dear NAME ./!"),
    "bye": ("goodbye/bye (NAME) ./!", "good night (NAME) ./!"),
    "thank": ("thank you (very much) ./!", "thanks ./!", "thank you for your help ./!"),
    "welcome": ("you are (very) welcome ./!",),
    "ask-well": ("how are you (today) ?",),
    "well": ("i am fine (today) ./!", "i am fine , thank you ./!", "i am very well ./!"),
    "sorry": ("i am (so/very) sorry ./!", "i am (so/very) sorry about your/the THING ./!",
    "that is (very) sad/terrible ./!"),
    "sorry-feel": ("i am sorry that you feel/are FEELING ./!",),
    "comfort": ("i hope you feel better soon ./!", "i hope that you feel better soon ./!"),
    "hope-find": ("i hope you find your/the THING soon ./!", "i hope that you find your/the THING soon ./!"),
    "glad": ("that is (very/so) great/wonderful/nice ./!", "congratulations ./!",
    "i am (so/very) glad/happy for you ./!"),
    "enjoy": ("i hope you like your/the (new) THING ./!", "what a nice/pretty THING ./!"),
    "offer": ("can/may i help you ?", "can i help you find it ?"),
    "what-happened": ("what happened ?",),
    "name": ("my name is NAME .", "i am NAME ."),
}  # fmt: skip


_FILLED = {slot: f"({'|'.join(words)}) " for slot, words in _SLOTS.items()}
_GRAMMAR = Grammar(ACTS)
_PATTERNS = [(name, pattern) for name in ACTS for pattern in _GRAMMAR.patterns(name, _FILLED)]
_FIRST = frozenset(word for phrases in ACTS.values() for phrase in phrases for word in phrase.split()[0].split("/"))


def act(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    """The name of the act and the words in its slots, for a sentence that is a set phrase of a chat."""
    if words[0] not in _FIRST:
        return None
    said = " ".join(words) + " "
    for name, pattern in _PATTERNS:
        if found := pattern.fullmatch(said):
            return name, tuple(slot for slot in found.groups() if slot)
    return None
