"""One secret bit, told at several privacy levels so that all of them together tell no more than the highest.

Randomised response (Warner, JASA 1965) tells a bit as it is with probability ``e^epsilon / (1 + e^epsilon)``.
Drawn anew for each level, thirty levels would tell the bit. Here the levels form a chain from the bit to the
lowest one, each drawn from its neighbour above (Xiao, Tao and Chen, PVLDB 2009; Koufogiannis, Han and
Pappas, arXiv 1504.00429): what is told at a lower level is a noisier copy of what is told at a higher one. A
new level is put between the two that were told already, so that they may come in any order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


def chance(known: bool, epsilon: float, before: Mapping[float, bool]) -> float:
    """The probability with which True is to be told at a level.

    Args:
        known: the bit.
        epsilon: the level, not among those before.
        before: what was told of this very bit at other levels.

    >>> round(chance(True, 1.0, {}), 3), round(chance(True, 1.0, {2.0: False}), 3)
    (0.731, 0.197)
    """
    above = min((e for e in before if e > epsilon), default=math.inf)
    below = max((e for e in before if e < epsilon), default=None)
    origin = known if above == math.inf else before[above]
    weights = {
        told: _same(above, epsilon, told is origin)
        * (1.0 if below is None else _same(epsilon, below, before[below] is told))
        for told in (True, False)
    }
    return weights[True] / (weights[True] + weights[False])


def _same(high: float, low: float, same: bool) -> float:
    """The probability that a level says the same as, or the opposite of, a higher one."""
    above = math.tanh(high / 2)
    kept = math.tanh(low / 2) / above if above else 0.0
    return (1 + kept) / 2 if same else (1 - kept) / 2
