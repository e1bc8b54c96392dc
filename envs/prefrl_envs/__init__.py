"""Worlds to learn in, registered with Gymnasium under `prefrl/`; this package knows nothing of prefrl."""

import gymnasium

__all__: list[str] = []

_MUJOCO = "prefrl_envs.mujoco_tasks:"
# The number of steps in an episode is Gymnasium's, but for the pendulums: their fall takes a second, not a thousand
# steps.
for _name, _steps, _settings in (
    ("Hopper", 1000, {}),
    ("Walker", 1000, {}),
    ("Swimmer", 1000, {}),
    ("Cheetah", 1000, {}),
    # Contact forces (78 numbers) cost time and are zero most of it; MuJoCo 2.0 to 3.0 reported them as zero throughout.
    ("Ant", 1000, {"include_cfrc_ext_in_observation": False}),
    ("Reacher", 50, {}),
    ("Pendulum", 100, {}),
    ("DoublePendulum", 100, {}),
):
    gymnasium.register(id=f"prefrl/{_name}-v0", entry_point=_MUJOCO + _name, max_episode_steps=_steps, kwargs=_settings)
for _name, _steps in (("HopperBackflip", 250), ("CheetahOneLeg", 1000)):
    gymnasium.register(
        id=f"prefrl/{_name}-v0", entry_point=f"prefrl_envs.new_behaviors:{_name}", max_episode_steps=_steps
    )
gymnasium.register(id="prefrl/MovingDot-v0", entry_point="prefrl_envs.moving_dot:MovingDot", max_episode_steps=50)
# Ends itself after at most 48 tokens.
gymnasium.register(id="prefrl/TinyInstruct-v0", entry_point="prefrl_envs.tiny_instruct:TokenEnv")
