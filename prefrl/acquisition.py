"""Which query to ask: scores [N] from the ensemble's predicted returns [E, N, K]; the largest are asked first."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Acquisition = Callable[[Tensor], Tensor]  # returns [E, N, K] -> scores [N], larger is asked sooner


def disagreement(returns: Tensor) -> Tensor:
    """Variance over members of the predicted preference, averaged over options: [E, N, K] -> [N].

    Christiano et al. 2017, section 2.2.4. For K = 2 it is the variance of P(first is better).
    """
    return torch.softmax(returns, dim=-1).var(dim=0, correction=0).mean(dim=-1)


def entropy(returns: Tensor) -> Tensor:
    """Entropy, in nats, of the preference averaged over members: [E, N, K] -> [N]. B-Pref's uncertainty sampling."""
    return _entropy(torch.softmax(returns, dim=-1).mean(dim=0))


def information_gain(returns: Tensor) -> Tensor:
    """Mutual information, in nats, of the answer and the member: H(mean) - mean H, [E, N, K] -> [N].

    Houlsby et al. 2011 (BALD), equation 2: high where members are sure and contradict each other.
    """
    preferences = torch.softmax(returns, dim=-1)
    return _entropy(preferences.mean(dim=0)) - _entropy(preferences).mean(dim=0)


def _entropy(probs: Tensor) -> Tensor:
    return -torch.xlogy(probs, probs).sum(dim=-1)


def uniform(returns: Tensor) -> Tensor:
    """The first are asked first, whatever the ensemble predicts: `propose` draws candidates in random order."""
    return -torch.arange(returns.shape[1], dtype=torch.float32)


def mixture(first: Acquisition, second: Acquisition, *, share: float) -> Acquisition:
    """In turns the best by `first` and by `second` of those not yet taken; `first` has that share of the turns."""

    def score(returns: Tensor) -> Tensor:
        orders = [torch.argsort(rule(returns), descending=True, stable=True).tolist() for rule in (first, second)]
        queues = [iter(order) for order in orders]
        scores, taken = torch.zeros(returns.shape[1]), set[int]()
        for place in range(returns.shape[1]):
            by_first = math.floor((place + 1) * share) > math.floor(place * share)
            index = next(i for i in queues[0 if by_first else 1] if i not in taken)
            taken.add(index)
            scores[index] = -place
        return scores

    return score
