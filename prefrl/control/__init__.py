"""Control through Gymnasium and Stable-Baselines3."""
