"""TinyInstruct: a small closed English with instructions, answers, and an exact score for any answer."""

from prefrl_envs.tiny_instruct.demonstrations import demonstration
from prefrl_envs.tiny_instruct.documents import documents
from prefrl_envs.tiny_instruct.environment import TokenEnv
from prefrl_envs.tiny_instruct.labelers import SimulatedLabeler, held_out_labelers, labelers, training_labelers
from prefrl_envs.tiny_instruct.lexicon import ANSWER, QUESTION, text, vocabulary, words
from prefrl_envs.tiny_instruct.prompts import Prompt, prompts
from prefrl_envs.tiny_instruct.scoring import Assessment, assess, gold

__all__ = [
    "ANSWER",
    "QUESTION",
    "Assessment",
    "Prompt",
    "SimulatedLabeler",
    "TokenEnv",
    "assess",
    "demonstration",
    "documents",
    "gold",
    "held_out_labelers",
    "labelers",
    "prompts",
    "text",
    "training_labelers",
    "vocabulary",
    "words",
]
