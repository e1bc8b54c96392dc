"""The text learner: a language model that answers prompts and learns from what its answers earn."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prefrl.choice import pairs_ordered_alike
from prefrl.comparisons import Comparison
from prefrl.ensemble import RewardFn
from prefrl.errors import PrefrlError
from prefrl.loop import Experience
from prefrl.measuring import correlation
from prefrl.segments import collate, last_steps
from prefrl.state_files import load_state, save_state
from prefrl.text.advantages import end_penalty
from prefrl.text.heads import Critic
from prefrl.text.improving import fit_critic, improve, improve_by_comparisons, judge
from prefrl.text.kl import adapted_coefficient
from prefrl.text.models import LanguageModel, rough, trainable, trunk
from prefrl.text.policy import Acted, Gold, Policy, Prompt, adam, check_lengths
from prefrl.text.settings import TextConfig
from prefrl.text.supervised import Example, document_loss

VALUED = 16  # batches of the warmup, at most, that PPO's value function begins with


class TextLearner:
    """PPO, RLOO or DPO on a causal language model. Its steps are answers.

    The reference is the model it begins with. PPO's value function begins as a copy of `critic_from`, the reward
    model's trunk, at the first call of `learn`, when that has been fitted (InstructGPT, appendix C.4); without it as
    a copy of the policy's own. DPO reads `comparisons` and ignores the reward. `gold` is for oracles and plots: no
    model sees it, unless `learn` is called without a reward. `check` is called at every step and may raise Interrupted.
    """

    def __init__(
        self,
        lm: LanguageModel,
        prompts: Sequence[Prompt],
        config: TextConfig,
        *,
        seed: int,
        check: Callable[[], None],
        gold: Gold | None = None,
        critic_from: nn.Module | None = None,
        comparisons: Callable[[], Sequence[Comparison]] | None = None,
        documents: Sequence[Example] = (),
    ) -> None:
        if not prompts:
            raise PrefrlError("there are no prompts to answer; name a file with at least one")
        check_lengths(lm, prompts, config.most_tokens)
        if config.pretraining > 0 and not documents:
            raise PrefrlError("a pretraining weight needs documents; name them with --documents")
        if config.algo == "dpo" and comparisons is None:
            raise PrefrlError("DPO learns from comparisons, and there are none to read")
        self.policy = Policy(lm, config, gold=gold)
        self.config, self.seed, self.prompts = config, seed, list(prompts)
        self.steps = 0  # answers so far
        self._calls = 0  # of rollout and learn: what their generators derive from
        self._batches = 0  # learned from
        self._coefficient = config.kl_coefficient
        self._check, self._comparisons, self._documents = check, comparisons, documents
        self._critic_from = critic_from
        self._rolled: list[Acted] = []  # what was answered before learning began
        self._critic: Critic | None = None
        self._critic_optimizer: torch.optim.Optimizer | None = None

    # ---- acting and learning -------------------------------------------------------------------------------------

    def _begin(self) -> tuple[np.random.Generator, torch.Generator]:
        """Generators of a call's own, so that it does not matter in which process the last one ran."""
        words = np.random.SeedSequence([self.seed, self._calls]).generate_state(2)
        self._calls += 1
        return np.random.default_rng(words[0]), torch.Generator().manual_seed(int(words[1]))

    def _batches_of_prompts(self, batches: int, rng: np.random.Generator) -> list[list[Prompt]]:
        """Prompts in random order, each again only when all had their turn."""
        size = self.config.batch_size // self.config.answers
        order = np.concatenate(
            [rng.permutation(len(self.prompts)) for _ in range(math.ceil(batches * size / len(self.prompts)))]
        )
        return [[self.prompts[i] for i in order[b * size : (b + 1) * size]] for b in range(batches)]

    def rollout(self, steps: int) -> Experience:
        """Answer, at least `steps` times, rounded up to whole batches; learn nothing."""
        rng, generator = self._begin()
        acted = [
            self.policy.act(prompts, self.config.answers, generator, self._check)
            for prompts in self._batches_of_prompts(math.ceil(steps / self.config.batch_size), rng)
        ]
        self.steps += sum(len(a.segments) for a in acted)
        self._rolled = acted[-VALUED:] if self.config.algo == "ppo" and self._critic is None else []
        return self._experience(acted, [])

    def learn(self, steps: int, reward: RewardFn | None) -> Experience:
        """Answer and learn, for at least `steps` answers, rounded up to whole batches.

        Without a reward the gold standard pays, which is the upper bound that a learned reward is held against.
        """
        rng, generator = self._begin()
        batches = math.ceil(steps / self.config.batch_size)
        prompts = self._batches_of_prompts(batches, rng)
        if self.config.algo == "dpo":
            return self._learn_by_comparisons(prompts, reward, generator)
        if self.config.algo == "ppo" and self._critic is None:
            self._begin_critic(reward, generator)
        acted, rows = [], []
        for asked in prompts:
            done, row = self._one_batch(asked, reward, rng, generator)
            acted.append(done)
            rows.append(row)
            self.steps += len(done.segments)
        return self._experience(acted, rows)

    def _begin_critic(self, reward: RewardFn | None, generator: torch.Generator) -> None:
        """Make a value function, and fit it to what the answers of the warmup earn."""
        self._make_critic()
        assert self._critic is not None
        assert self._critic_optimizer is not None
        if not self._rolled:
            return
        batch = collate([s for acted in self._rolled for s in acted.segments])
        ended = torch.cat([acted.ended for acted in self._rolled])
        earned = torch.cat([self._pay(acted, reward).sum(dim=1) for acted in self._rolled])
        earned = earned + end_penalty(batch.mask, ended, penalty=self.config.missing_end_penalty).sum(dim=1)
        self._rolled = []
        fit_critic(
            self._critic, self._critic_optimizer, batch, earned, self.config, generator=generator, check=self._check
        )

    def _one_batch(
        self, prompts: Sequence[Prompt], reward: RewardFn | None, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Acted, dict[str, float]]:
        clock = [time.perf_counter()]
        acted = self.policy.act(prompts, self.config.answers, generator, self._check)
        clock.append(time.perf_counter())
        score = self._pay(acted, reward)
        judged, seen = judge(self.policy, self._critic, acted, score, coefficient=self._coefficient)
        clock.append(time.perf_counter())

        def documents() -> Tensor:
            return document_loss(self.policy.lm, self._documents, self.config.minibatch_size, rng)

        learned = improve(
            self.policy,
            self._critic,
            self._critic_optimizer,
            judged,
            documents if self.config.pretraining > 0 else None,
            batches=self._batches,
            generator=generator,
            check=self._check,
        )
        clock.append(time.perf_counter())
        self._batches += 1
        if self.config.kl_target is not None:
            self._coefficient = adapted_coefficient(
                self._coefficient,
                seen["kl"],
                target=self.config.kl_target,
                episodes=len(acted.segments),
                horizon=self.config.kl_horizon,
            )
        parts = ("seconds_generating", "seconds_judging", "seconds_improving")
        times = {name: b - a for name, a, b in zip(parts, clock[:-1], clock[1:], strict=True)}
        return acted, {**seen, **self._against_gold(score, acted), **learned, **times}

    def _pay(self, acted: Acted, reward: RewardFn | None) -> Tensor:
        """[B, T] scores, at the last token of each answer."""
        if reward is None:
            gold = acted.gold
            if bool(gold.isnan().any()):
                raise PrefrlError("there is no gold standard that could pay for these answers; learn from a reward")
            return gold[:, None] * last_steps(acted.batch.mask)
        with rough(self.policy.lm.device):
            return reward(acted.batch)

    def _against_gold(self, score: Tensor, acted: Acted) -> dict[str, float]:
        """How scores [B, T] of answers that nothing was fitted to stand to what the answers are truly worth."""
        predicted, gold = score.sum(dim=1), acted.gold
        return {
            "predicted_return_std": float(predicted.std(correction=0)),
            "true_return_std": float(gold.std(correction=0)),
            "reward_correlation": correlation(predicted.numpy(), gold.numpy()),
            "newest_accuracy": pairs_ordered_alike(
                predicted.view(-1, self.config.answers), gold.view(-1, self.config.answers)
            ),
        }

    def _learn_by_comparisons(
        self, prompts: Sequence[Sequence[Prompt]], reward: RewardFn | None, generator: torch.Generator
    ) -> Experience:
        assert self._comparisons is not None
        started = time.perf_counter()
        answers = len(prompts) * self.config.batch_size
        learned = improve_by_comparisons(
            self.policy,
            self._comparisons(),
            answers,
            batches=self._batches,
            generator=generator,
            check=self._check,
        )
        self._batches += len(prompts)
        learned["seconds_improving"] = time.perf_counter() - started
        acted = self.policy.act(prompts[-1], self.config.answers, generator, self._check)
        score = self._pay(acted, reward)
        _, seen = judge(self.policy, None, acted, score, coefficient=self._coefficient)
        self.steps += answers
        return self._experience([acted], [{**seen, **self._against_gold(score, acted), **learned}])

    def _experience(self, acted: Sequence[Acted], rows: Sequence[dict[str, float]]) -> Experience:
        """The newest answers, and means over batches; times are sums."""
        golds = torch.cat([a.gold for a in acted])
        metrics = {"steps": float(self.steps), "true_return": float(golds.mean())}
        for name in rows[0] if rows else ():
            values = [row[name] for row in rows]
            metrics[name] = sum(values) if name.startswith("seconds_") else float(np.mean(values))
        if "kl" in metrics:  # what predicted and true reward are drawn against
            metrics["sqrt_kl"] = math.sqrt(max(0.0, metrics["kl"]))
        return Experience([s for a in acted for s in a.segments], metrics)

    # ---- state ---------------------------------------------------------------------------------------------------

    def _make_critic(self) -> None:
        start = self._critic_from if self._critic_from is not None else trunk(self.policy.lm.causal)
        self._critic = Critic(start, self.policy.lm)
        self._critic_optimizer = adam(trainable(self._critic).values(), self.config.value_learning_rate)

    def save(self, folder: Path) -> None:
        """Policy, critic, optimizers, averages, the KL coefficient, counters."""
        state: dict[str, Any] = {
            "policy": self.policy.state(),
            "coefficient": self._coefficient,
            "steps": self.steps,
            "calls": self._calls,
            "batches": self._batches,
        }
        if self._critic is not None and self._critic_optimizer is not None:
            state["critic"] = dict(self._critic.state_dict())
            state["critic_optimizer"] = self._critic_optimizer.state_dict()
        save_state(folder, "learner", state)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        state = load_state(folder, "learner")
        self.policy.load_state(state["policy"])
        self._coefficient, self.steps = state["coefficient"], state["steps"]
        self._calls, self._batches = state["calls"], state["batches"]
        if "critic" in state:
            self._make_critic()
            assert self._critic is not None
            assert self._critic_optimizer is not None
            self._critic.load_state_dict(state["critic"])
            self._critic_optimizer.load_state_dict(state["critic_optimizer"])
