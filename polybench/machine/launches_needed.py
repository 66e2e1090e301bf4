"""How many launches a machine as unsteady as this one takes to tell times apart."""

from __future__ import annotations

import math
from statistics import NormalDist

from polybench.launches import BLOCKS, MOST, PILOT
from polybench.stats import CONFIDENCE_TIME

MARGIN = 0.03  # least margin of a verdict
# Interquartile range of a normal distribution, and the standard error of its median over that of its mean.
_IQR, _MEDIAN = 2 * NormalDist().inv_cdf(0.75), math.sqrt(math.pi / 2)


def launches_for(jitter: float) -> int | None:
    """Launches until an interval is as narrow as the margin; None where as many as a run makes do not suffice.

    `jitter` is the interquartile range of the log-ratio of two arms in a round, taken as normal; the median over
    rounds and Student's t over launches are what `stats.of_launches` takes. How launches themselves differ is not
    seen in a few seconds of one process.
    """
    of_one = _MEDIAN * jitter / _IQR / math.sqrt(BLOCKS)
    narrow = (n for n in range(PILOT, MOST + 1) if _student(n - 1) * of_one / math.sqrt(n) <= MARGIN)
    return next(narrow, None)


def _student(degrees: int) -> float:
    """Quantile of Student's t by two terms of its expansion about the normal one, low by 4 % of four degrees.

    The exact one would load scipy. Source: Abramowitz and Stegun, 26.7.5.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE_TIME) / 2)
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
