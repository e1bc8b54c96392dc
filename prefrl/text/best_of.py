"""Best-of-n sampling: what that answer is worth which a reward likes best of n."""

import math

import numpy as np

from prefrl.text.kl import best_of_n_kl


def best_of_n(liked: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Mean value of the answer that is liked best of n, over all choices of n of N answers: [P, N], [P, N] -> [P].

    Unbiased for drawing n answers anew, with far less chance in it than one such draw (Nakano et al. 2021):
    an answer with L others liked less and U liked no better, itself included, is the best of (C(U, n) - C(L, n)) /
    C(N, n) of the choices, which those that are liked as much share evenly.
    """
    most = values.shape[1]
    if liked.shape != values.shape or not 1 <= n <= most:
        raise ValueError(f"best of {n} of {most} answers, liked {liked.shape} for values {values.shape}")
    share = np.array([math.comb(k, n) / math.comb(most, n) for k in range(most + 1)])
    found = np.empty(len(values))
    for row, (by, worth) in enumerate(zip(liked, values, strict=True)):
        order = np.sort(by)
        below, within = np.searchsorted(order, by, "left"), np.searchsorted(order, by, "right")
        found[row] = ((share[within] - share[below]) / (within - below) * worth).sum()
    return found


def best_of_curve(predicted: np.ndarray, true: np.ndarray) -> list[dict[str, float]]:
    """What best of n = 1, 2, 4, ... N by the prediction comes to, against its divergence from who answered.

    From predicted and true rewards [P, N] of N answers to each of P prompts: means over prompts, and the standard
    errors of these means. True rewards that are unknown are NaN.
    """
    rows, most = [], predicted.shape[1]
    for n in sorted({*(2**i for i in range(most.bit_length())), most}):
        row = {"n": float(n), "kl": best_of_n_kl(n), "sqrt_kl": math.sqrt(best_of_n_kl(n))}
        for name, values in (("predicted_return", predicted), ("true_return", true)):
            each = best_of_n(predicted, values, n)
            row[name] = float(each.mean())
            row[f"{name}_error"] = float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan
        rows.append(row)
    return rows
