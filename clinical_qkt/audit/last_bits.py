"""Do the last bits of what is released tell how many patients there were?

A floating-point number that came about as n plus noise lies on a grid whose mesh depends on n: where the two
nearly cancel, a last bit that is set proves that there were not n + 1 (Mironov, On significance of the least
significant bits for differential privacy, CCS 2012). The attacker learns on one half of many releases which
last bits are seen with so many patients and never with one more or fewer, and is tested on the other half.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.stats import beta

from clinical_qkt.privacy.mechanisms import COUNT_STEPS, Guarantee, discrete_noise, system_noise

Count = float | int
Releases = Callable[[int, int], list[Count]]
"""From patients and how many to so many noised counts, as an attacker reads them."""

Bits = tuple[int, int] | None

NEAR = 4
"""Counts below that are looked at: there the noise nearly cancels what is there."""


@dataclass(frozen=True)
class Proofs:
    """What last bits prove, in the direction in which they prove most.

    Attributes:
        there: share of releases of which the attacker says so, and is right.
        alarms: share of the others of which it says the same.
        delta: that is proven at the promised epsilon, with 95 % confidence; 0 if none is.
        releases: of each kind that were tested.
    """

    there: float
    alarms: float
    delta: float
    releases: int


def audit_last_bits(releases: Releases, patients: int, epsilon: float, count: int) -> Proofs:
    """Attack counts over ``patients`` and over one fewer by their last bits.

    Args:
        count: releases of each kind; half of them to learn from.
    """
    many, fewer = ([last_bit(c) for c in releases(n, count)] for n in (patients, patients - 1))
    both = _proofs(many, fewer, epsilon), _proofs(fewer, many, epsilon)
    return max(both, key=lambda p: p.delta)


def _proofs(these: list[Bits], others: list[Bits], epsilon: float) -> Proofs:
    half = len(these) // 2
    telling = set(these[:half]) - set(others[:half]) - {None}
    hits, alarms = (sum(s in telling for s in seen[half:]) for seen in (these, others))
    tested = len(these) - half
    # Two directions are looked at: each bound is wrong in 1.25 of 100 cases at most.
    least = float(beta.ppf(0.0125, hits, tested - hits + 1)) if hits else 0.0
    most = float(beta.ppf(0.9875, alarms + 1, tested - alarms)) if alarms < tested else 1.0
    return Proofs(hits / tested, alarms / tested, max(0.0, least - math.exp(epsilon) * most), tested)


def last_bit(count: Count) -> Bits:
    """A small count's whole part, and the place of the last bit that is set in it; None for others."""
    if not 1 <= abs(count) < NEAR:
        return None
    top, bottom = count.as_integer_ratio()
    return math.floor(count), (top & -top).bit_length() - bottom.bit_length()


def integer_release(guarantee: Guarantee) -> Releases:
    """The counts of ``private_release``."""

    def release(patients: int, count: int) -> list[Count]:
        noise = discrete_noise(guarantee.sigma, count)
        return [(COUNT_STEPS * patients + n) / COUNT_STEPS for n in noise]

    return release


def float_release(guarantee: Guarantee) -> Releases:
    """Counts with noise in floating point, a mistake made on purpose; read off a field ``noise``.

    So this software's first version released them: as scale over noised count, from which the count follows.
    """
    weight = 0.5
    scale = guarantee.noise_multiplier * math.hypot(1, weight)

    def release(patients: int, count: int) -> list[Count]:
        noised = [patients + scale / weight * n for n in system_noise(count).tolist()]
        return [_inverted(scale, scale / n) for n in noised]

    return release


def _inverted(scale: float, told: float) -> float:
    """The number that ``told`` is scale over: of all that fit, the one with the fewest bits."""
    guess = scale / told
    near = [guess]
    for way in (math.inf, -math.inf):
        near += [a := math.nextafter(guess, way), math.nextafter(a, way)]
    return max((n for n in near if scale / n == told), key=_trailing, default=guess)


def _trailing(number: float) -> int:
    top, bottom = number.as_integer_ratio()
    return (top & -top).bit_length() - bottom.bit_length()
