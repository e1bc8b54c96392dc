"""Which of several systems gives better answers: win rates, their intervals, and Bradley-Terry scores."""

import math
from collections.abc import Sequence

import numpy as np


def win_rate(wins: Sequence[float], *, rng: np.random.Generator, draws: int = 2000) -> tuple[float, float, float]:
    """Mean of outcomes (1 won, .5 tied, 0 lost), one a prompt, and its 95 % bootstrap interval over prompts."""
    outcomes = np.asarray(wins, np.float64)
    if len(outcomes) == 0:
        return math.nan, math.nan, math.nan
    means = outcomes[rng.integers(len(outcomes), size=(draws, len(outcomes)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(outcomes.mean()), float(low), float(high)


def outcome(first: float, second: float) -> float:
    """1 if the first score is higher, .5 at a tie, 0 otherwise."""
    return 0.5 if first == second else float(first > second)


def length_controlled(wins: Sequence[float], longer: Sequence[float]) -> float:
    """The win rate at equal length: a logistic regression of outcomes on how much longer the answers are, read at 0.

    `longer` [n] is a difference of lengths, scaled by its own standard deviation and squashed by tanh, as in Dubois et
    al. 2024 (length-controlled AlpacaEval). NaN without outcomes.
    """
    y, d = np.asarray(wins, np.float64), np.asarray(longer, np.float64)
    if len(y) == 0:
        return math.nan
    x = np.tanh(d / d.std()) if d.std() > 0 else np.zeros_like(d)
    design = np.stack([np.ones_like(x), x], axis=1)
    weights = np.zeros(2)
    for _ in range(50):  # Newton's method; a small ridge keeps separable outcomes finite
        p = 1.0 / (1.0 + np.exp(-design @ weights))
        gradient = design.T @ (y - p) - 1e-3 * weights
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        weights += step
        if np.abs(step).max() < 1e-10:
            break
    return float(1.0 / (1.0 + math.exp(-weights[0])))


def bradley_terry(rates: np.ndarray, games: np.ndarray) -> np.ndarray:
    """Scores [S], in log-odds with mean 0, from win rates [S, S] and games [S, S] of each pair (Hunter 2004, MM).

    Half a won and half a lost game are added to every pair that met, so that a system that won everything has a score.
    """
    met = games > 0
    won = np.where(met, rates * games + 0.5, 0.0)
    played = np.where(met, games + 1.0, 0.0)
    strength = np.ones(len(rates))
    for _ in range(10_000):
        shared = played / (strength[:, None] + strength[None, :])
        new = won.sum(axis=1) / shared.sum(axis=1)
        new /= np.exp(np.log(new).mean())
        done = np.abs(np.log(new / strength)).max() < 1e-10
        strength = new
        if done:
            break
    scores: np.ndarray = np.log(strength)
    return scores
