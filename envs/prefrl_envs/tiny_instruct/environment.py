"""Answering a prompt, one token a step, as a Gymnasium environment."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from prefrl_envs.tiny_instruct.lexicon import vocabulary
from prefrl_envs.tiny_instruct.prompts import Split, prompts
from prefrl_envs.tiny_instruct.scoring import gold

END = "<end>"


class TokenEnv(gymnasium.Env[np.int64, np.int64]):
    """The token before is observed and the next one is the action; the reward is 0, and at the end the gold score.

    An episode ends with the end token; with `max_tokens` it is truncated and what was said is scored as it stands.
    `tokens` says what each id means (by default the vocabulary and one end token); ids of other special tokens count
    as garbage words. `reset(options={"prompt": text})` asks that prompt instead of a drawn one. `info` has `prompt`,
    `context` (ids of the prompt) and, at the end, `answer`.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  as Gymnasium declares it

    def __init__(
        self,
        *,
        tokens: tuple[str, ...] | None = None,
        end: str = END,
        split: Split = "train",
        max_tokens: int = 48,
        render_mode: str | None = None,
    ) -> None:
        self.tokens = (*vocabulary(), END) if tokens is None else tokens
        self.end, self.split, self.max_tokens, self.render_mode = self.tokens.index(end), split, max_tokens, render_mode
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        self.observation_space = self.action_space = spaces.Discrete(len(self.tokens))
        self._prompt, self._said = "", list[int]()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        given = (options or {}).get("prompt")
        self._prompt = prompts(1, self.np_random, self.split)[0].text if given is None else given
        self._said = []
        context = np.array([self._ids[word] for word in self._prompt.split()], np.int64)
        return np.int64(context[-1]), {"prompt": self._prompt, "context": context}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        done = int(action) == self.end
        if not done:
            self._said.append(int(action))
        late = not done and len(self._said) >= self.max_tokens
        info: dict[str, Any] = {"prompt": self._prompt}
        reward = 0.0
        if done or late:
            info["answer"] = self.render()
            reward = gold(self._prompt, info["answer"])
        return np.int64(action), reward, done, late, info

    def render(self) -> str:
        """The answer so far."""
        return " ".join(self.tokens[i] for i in self._said)
