"""What it costs to test a growing number of seeds more than once: the error is spent look by look.

A look is one planned batch of seeds, judged together with all that were there before. Of the error that is granted,
the first look spends the share `FIRST` and every later one the same share of what is left, so that all looks
together never spend more, however many there will be and whenever they come. Levels follow from the joint
distribution of the looks, whose increments are independent (Lan, DeMets 1983, doi:10.1093/biomet/70.3.659); those
of t statistics are taken by their p values. The p that counts its looks can be corrected by Holm like any other
(Maurer, Bretz 2013, doi:10.1080/19466315.2013.807748). No clock, no file, no torch.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any

FIRST = 0.8  # what one look costs who never takes another: p times 1.25
_NODES, _FAR = 64, 7.0  # of the integral over an earlier look's score, and how many sd below it begins
_MOST_STEPS = 50


def over_looks(p: float, counts: tuple[int, ...]) -> float:
    """A one-sided p at the last of several looks, made to count them: the error in all at which it resolves.

    `counts` are the seeds at each look, in rising order, the last being now.
    """
    if len(counts) == 1:
        return min(1.0, p / FIRST)
    if p >= level(0.5, counts):
        return 1.0
    low, high = math.log(max(p, 1e-300)), math.log(0.5)  # no look may test at more than is granted in all
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if level(math.exp(middle), counts) < p else (low, middle)
    return math.exp(high)


def both_sides(p: float, counts: tuple[int, ...]) -> float:
    """The same of a two-sided p."""
    return min(1.0, 2 * over_looks(p / 2, counts))


@lru_cache(maxsize=1 << 14)
def level(alpha: float, counts: tuple[int, ...]) -> float:
    """The one-sided level at which the last of these looks may test, of an error of `alpha` in all.

    At every look the score (of variance n after n seeds) crosses its bound for the first time with the probability
    that this look spends. The density of scores that have not crossed is carried from look to look, at the nodes of
    Gauss and Legendre.
    """
    if len(counts) == 1:
        return alpha * FIRST
    import numpy as np
    from scipy.special import ndtr, ndtri

    nodes, weights = _gauss()
    scores, masses, before, bound = np.zeros(1), np.ones(1), 0, 0.0  # where they stood, and with which probability
    for look, count in enumerate(counts):
        spread, spends = math.sqrt(count - before), alpha * FIRST * (1 - FIRST) ** look
        bound = -float(ndtri(spends)) * math.sqrt(count)  # if no look had been before, so not below what it is
        for _ in range(_MOST_STEPS):  # of Newton, which from above never overshoots, as log-probabilities are concave
            away = (scores - bound) / spread
            crosses, slope = float(masses @ ndtr(away)), float(masses @ _density(away)) / spread
            bound -= (step := crosses / slope * math.log(spends / crosses))
            if step < 1e-9 * math.sqrt(count):
                break
        low = -_FAR * math.sqrt(count)
        at = low + (bound - low) * (nodes + 1) / 2
        masses = _density((at[:, None] - scores) / spread) @ masses / spread * weights * (bound - low) / 2
        scores, before = at, count
    return float(ndtr(-bound / math.sqrt(counts[-1])))


@cache
def _gauss() -> tuple[Any, Any]:
    import numpy as np

    return np.polynomial.legendre.leggauss(_NODES)


def _density(x: Any) -> Any:
    """Of the standard normal distribution."""
    import numpy as np

    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
