"""Prefrl: reinforcement learning from human preferences."""
