"""Stable-Baselines3's algorithms as the control learner uses them: settings, policy networks, and who pays."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import TRPO
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn
from torch.nn import functional

from prefrl.control.buffers import PaidReplayBuffer, PaidRolloutBuffer
from prefrl.control.vector import Recorder
from prefrl.processor import multiplies_bfloat16
from prefrl.stacks import channels_last

Algorithm = Literal["ppo", "trpo", "sac", "a2c"]
Network = Literal["mlp", "small", "nature"]


@dataclass(frozen=True)
class LearnerConfig:
    """The policy's learner; where an algorithm has no use for a setting it is ignored."""

    algo: Algorithm = "ppo"
    num_envs: int = 8
    """Environments side by side."""
    rollout_steps: int = 250
    """Steps of each environment between two updates of the policy (all but SAC)."""
    batch_size: int = 250
    epochs: int = 10
    learning_rate: float = 1e-3
    decay_steps: int | None = None
    """Environment steps after which the learning rate has fallen to 0; None: it never falls."""
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    """How far PPO lets an action's probability change in an update, as a share of it."""
    entropy_bonus: float = 0.01
    """Christiano et al. 2017, appendix A.1. A reward that still changes must find a policy that still explores. TRPO's
    is for the entropy of one dimension of continuous actions, however many there are."""
    range_charge: float = 0.0
    """What pulls the mean of continuous actions back where it has left their range (TRPO; `PaidRolloutBuffer`). Out
    there all actions are clipped to the same one, none is better than another, and a policy would stay."""
    initial_log_std: float = -0.5
    """Logarithm of the standard deviation of actions at first, where they are continuous."""
    least_noise: float = 0.0
    """Below what share of half their range the standard deviation of continuous actions never falls. Under a reward
    that still changes a policy without noise does not find back to what it has lost."""
    varied_noise: float = 0.0
    """Before it learns, a policy acts half of the time with a share of its noise that is drawn from 0 to this one for
    about a clip at a time, where actions are continuous; 0: with all of its noise, always. What effort costs can be
    told only from clips that differ in effort, and all those of one policy take the same."""
    network: Network = "mlp"
    """Of policy and value function: two hidden layers for vectors; for pictures the convolutions of Mnih et al. 2013
    (small) or of Mnih et al. 2015 (nature)."""
    hidden: int = 64
    """Units in each hidden layer, or in the one behind convolutions."""
    bfloat16: bool = False
    """Convolve at that precision, policy and reward; optimizers and all else keep float32."""
    scale_rewards: bool = True
    """Center and scale rewards by running statistics (`RewardNormalizer`)."""
    clip_rewards: bool = False
    """Clip the true reward, where it is learned from, to [-1, 1] (Mnih et al. 2015)."""


def discount(lifetime: int) -> float:
    """1 - 1 / steps, at least .99: a policy that looks about an episode ahead, and a hundred steps in shorter ones.

    `lifetime`: steps that an episode lasts while actions are drawn by chance. With a shorter outlook swimmers settle
    for a slow gait, on their own reward, too (Franceschetti et al. 2022, who take .9999). With .999 double pendulums,
    whose episodes last 100 steps, ended at half of what they do (one seed).
    """
    return max(0.99, 1.0 - 1.0 / lifetime)


def default_config(algo: Algorithm, lifetime: int) -> LearnerConfig:
    """The settings that an algorithm has unless told otherwise, the same for every task that observes vectors.

    `lifetime`: see `discount`.
    """
    if algo == "trpo":
        # Environments begin together, so that a rollout shorter than an episode would teach the policy about one part
        # of it, and let it forget the others.
        return LearnerConfig(
            algo,
            num_envs=2,
            rollout_steps=1000,
            gamma=discount(lifetime),
            range_charge=0.3,
            least_noise=0.2,
            varied_noise=2.0,
        )
    if algo == "sac":
        return LearnerConfig(algo, batch_size=256, hidden=256, learning_rate=3e-4)
    return LearnerConfig(algo)


def picture_config(algo: Algorithm, network: Network, device: str = "cpu") -> LearnerConfig:
    """The same for tasks that observe pictures. A2C's are the paper's (Christiano et al. 2017, appendix A.2)."""
    pictures: dict[str, Any] = {
        "num_envs": 16,
        "network": network,
        "hidden": 256 if network == "small" else 512,
        "bfloat16": multiplies_bfloat16(device),
        "scale_rewards": False,
        "clip_rewards": True,
    }
    if algo == "a2c":
        return LearnerConfig(algo, rollout_steps=5, batch_size=80, learning_rate=7e-4, gae_lambda=1.0, **pictures)
    return LearnerConfig(
        algo, rollout_steps=128, batch_size=512, epochs=4, learning_rate=7e-4, clip_range=0.1, **pictures
    )


def build_model(
    c: LearnerConfig,
    venv: Recorder,
    *,
    seed: int,
    device: str,
    pay_rollout: Callable[[int], np.ndarray],
    pay_transitions: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    learning_rate: Callable[[float], float],
) -> BaseAlgorithm:
    """The algorithm, which is paid by the functions given, once a rollout or when a batch is sampled."""
    shared: dict[str, Any] = {"learning_rate": learning_rate, "gamma": c.gamma, "seed": seed, "device": device}
    if c.algo == "sac":
        model: BaseAlgorithm = SAC(
            "MlpPolicy",
            venv,
            **shared,
            batch_size=c.batch_size,
            learning_starts=0,
            gradient_steps=-1,
            replay_buffer_class=PaidReplayBuffer,
            replay_buffer_kwargs={"pay": pay_transitions},
            policy_kwargs={"net_arch": [c.hidden, c.hidden]},
        )
        return model
    policy = VectorPolicy if c.network == "mlp" else PicturePolicy
    shared |= {
        "n_steps": c.rollout_steps,
        "gae_lambda": c.gae_lambda,
        "rollout_buffer_class": PaidRolloutBuffer,
        "rollout_buffer_kwargs": {"pay": pay_rollout},
        "policy_kwargs": policy_settings(c),
    }
    if c.algo == "trpo":
        shared["rollout_buffer_kwargs"] |= {"entropy_bonus": c.entropy_bonus, "range_charge": c.range_charge}
        model = TRPO(policy, venv, **shared, batch_size=c.batch_size)
    elif c.algo == "ppo":
        shared |= {"batch_size": c.batch_size, "n_epochs": c.epochs, "clip_range": c.clip_range}
        model = PPO(policy, venv, **shared, ent_coef=c.entropy_bonus)
    else:
        model = A2C(policy, venv, **shared, ent_coef=c.entropy_bonus)
    buffer = model.rollout_buffer
    assert isinstance(buffer, PaidRolloutBuffer)
    buffer.policy = model.policy if isinstance(model.policy, VectorPolicy) else None
    return model


def with_least_noise(log_std: Tensor, low: Tensor, high: Tensor, least: float) -> Tensor:
    """Logarithms of the standard deviations of actions in [low, high], none below `least` halves of that range: [n]."""
    return torch.maximum(log_std, (least * ((high - low) / 2)).log())


def policy_settings(c: LearnerConfig) -> dict[str, Any]:
    """How Stable-Baselines3 is to make policy and value function; they share what precedes `net_arch`."""
    if c.network == "mlp":
        return {"net_arch": [c.hidden, c.hidden], "log_std_init": c.initial_log_std}
    return {
        "net_arch": [],
        "normalize_images": False,  # the extractor does it, for less
        "features_extractor_class": Convolutions,
        "features_extractor_kwargs": {"network": c.network, "features_dim": c.hidden, "bfloat16": c.bfloat16},
    }


class VectorPolicy(ActorCriticPolicy):
    """A policy that only acts while a rollout is collected, for a third of what Stable-Baselines3's costs.

    The values and log probabilities that belong to its steps are computed once a rollout (`PaidRolloutBuffer`).
    """

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions [n, *act], and zeros [n] where values and log probabilities will be."""
        latent = self.mlp_extractor.forward_actor(obs.flatten(1).float())
        if isinstance(self.action_dist, DiagGaussianDistribution):
            # torch's Normal would check its arguments at every step, which takes as long as drawing from it.
            actions = self.action_net(latent)
            if not deterministic:
                actions = actions + self.log_std.exp() * torch.randn_like(actions)
        else:
            actions = self._get_action_dist_from_latent(latent).get_actions(deterministic=deterministic)
        later = torch.zeros(len(obs))
        return actions.reshape(-1, *(self.action_space.shape or ())), later, later


class Convolutions(BaseFeaturesExtractor):
    """What policy and value function see of pictures [B, channels, height, width] with values in 0, ..., 255.

    `small` is the network of Mnih et al. 2013, which A3C used, too; `nature` that of Mnih et al. 2015.
    """

    def __init__(
        self, observation_space: spaces.Box, *, network: Network, features_dim: int, bfloat16: bool = False
    ) -> None:
        super().__init__(observation_space, features_dim)
        self._low = bfloat16
        channels = observation_space.shape[0]
        layers = {
            "small": ((channels, 16, 8, 4), (16, 32, 4, 2)),
            "nature": ((channels, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)),
        }[network]
        self.first = nn.Conv2d(*layers[0])
        self.rest = nn.Sequential(nn.ReLU(inplace=True))
        for layer in layers[1:]:
            self.rest += nn.Sequential(nn.Conv2d(*layer), nn.ReLU(inplace=True))
        self.rest.append(nn.Flatten())
        with torch.no_grad():
            size = self.rest(self.first(torch.zeros(1, *observation_space.shape))).numel()
        self.rest += nn.Sequential(nn.Linear(size, features_dim), nn.ReLU(inplace=True))

    def forward(self, observations: Tensor) -> Tensor:
        """[B, features_dim]"""
        pictures = channels_last(observations.to(torch.uint8))
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=self._low):
            # From 0, ..., 255 to [0, 1], for less than dividing every picture.
            weight = self.first.weight / 255.0
            layer = functional.conv2d(
                pictures.to(torch.bfloat16 if self._low else torch.float32),
                weight,
                self.first.bias,
                self.first.stride,
            )
            features: Tensor = self.rest(layer)
        return features.float()


class PicturePolicy(ActorCriticPolicy):
    """A policy whose pictures reach its convolutions as bytes."""

    def extract_features(self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor | None = None) -> Tensor:
        """[B, features_dim], without Stable-Baselines3's copy in 32 bits of all pictures."""
        assert isinstance(obs, Tensor)
        features: Tensor = self.features_extractor(obs)
        return features
