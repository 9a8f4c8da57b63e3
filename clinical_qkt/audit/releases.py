"""An empirical audit of private releases: how well can somebody tell whether one patient took part?

The release is run many times with and without one patient, whose features are as far out as they can be. An
attacker who knows everybody else and that patient's features decides from the answer alone. How often it is
right bounds epsilon from below, read off the error curve of a Gaussian mechanism (Nasr et al., Tight auditing
of differentially private machine learning, USENIX Security 2023). An audit can find a broken release, never
prove a sound one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian
from rich.console import Console
from rich.table import Table
from scipy.stats import beta, norm
from torch import Tensor
from tqdm import trange

from clinical_qkt.audit.last_bits import Proofs, audit_last_bits, float_release, integer_release
from clinical_qkt.privacy.mechanisms import (
    COUNT_STEPS,
    Guarantee,
    Noise,
    PatientSums,
    Release,
    private_release,
    rounded_noise,
)

Releasing = Callable[[Tensor], Release]
"""From ``(patients, D)`` contributions in whole steps to what leaves."""

AS_IT_IS, HALVED = "as it is", "noise halved"
TOGETHER, UNSHARED = "looks: five in one", "looks: not shared"
"""Releases that are audited: those that keep the promise, and those that break it."""
COUNTS = 20_000
"""So many are released for the attack on last bits; they are quickly drawn."""
SHARES = (0.07, 0.1, 0.23, 0.2, 0.4)
"""Of the guarantee, by release, in a response that compares looks; see ``query.private_look``."""
FEW_PATIENTS = 6
"""With so many the attack on last bits is made: few nearly cancel with the noise often."""


@dataclass(frozen=True)
class Finding:
    """What an audit found.

    Attributes:
        epsilon: what the attack's rates come to.
        at_least: the same with 95 % confidence; a promise below this is broken.
        power, alarms: the attack's true-positive and false-positive rate.
        releases: of each kind.
    """

    epsilon: float
    at_least: float
    power: float
    alarms: float
    releases: int


def audit_release(
    release: Releasing, others: Tensor, target: Tensor, count: int, delta: float, what: str = "releases"
) -> Finding:
    """Attack a release.

    Args:
        others: ``(patients, D)`` contributions of everybody else.
        target: ``(D,)`` of the one whose part is to be told, no longer than ``STEPS``.
        count: releases with, and as many without.
        delta: of the promise.
        what: named in the progress bar.
    """
    everybody = torch.cat([others, target[None]])
    rows = (everybody, others) * count
    scores = np.array(
        [
            _score(release(r), target)
            for r, _ in zip(rows, trange(2 * count, desc=what, leave=False, disable=None), strict=True)
        ]
    )
    told = scores > np.median(scores)
    hits, alarms = int(told[0::2].sum()), int(told[1::2].sum())
    return Finding(
        epsilon_of(hits / count, alarms / count, delta),
        epsilon_of(_bound(hits, count, low=True), _bound(alarms, count, low=False), delta),
        hits / count,
        alarms / count,
        count,
    )


def epsilon_of(power: float, alarms: float, delta: float) -> float:
    """The epsilon, at ``delta``, of the Gaussian mechanism whose best test has these two rates."""
    told_apart = float(norm.ppf(power) - norm.ppf(alarms))
    return 0.0 if told_apart <= 0 else float(get_epsilon_gaussian(1 / told_apart, delta))


def extreme_case(features: int, patients: int) -> tuple[Tensor, Tensor]:
    """Everybody at zero but one, who is as far out as clipping lets anybody be: ``(others, target)``.

    Such features are what an extractor gives that was built to single one patient out.
    """
    sums = PatientSums(features, 10.0)
    built = torch.zeros(1, features, dtype=torch.float64)
    built[0, 0] = 1e300
    sums.update(built, ["target"])
    return torch.zeros(patients, features, dtype=torch.int64), sums.contributions()[0]


def stated_and_broken(
    guarantee: Guarantee, count: int, features: int = 8, patients: int = 50
) -> dict[str, Finding]:
    """The audit of releases as they are, and of such as break the promise, which have to be found out.

    Of a response that compares looks the attacker has all four releases, and the patient is in each.
    """
    others, target = extreme_case(features, patients)
    source = torch.Generator().manual_seed(0)

    def drawn(share: float = 1.0) -> Noise:
        return rounded_noise(lambda n: share * torch.randn(n, generator=source, dtype=torch.float64))

    made: dict[str, Releasing] = {
        AS_IT_IS: lambda rows: private_release(rows, guarantee, drawn()),
        HALVED: lambda rows: private_release(rows, guarantee, drawn(0.5)),
        TOGETHER: several([guarantee.part(share) for share in SHARES], drawn()),
        UNSHARED: several([guarantee] * len(SHARES), drawn()),
    }
    return {
        name: audit_release(release, others, target, count, guarantee.delta, name)
        for name, release in made.items()
    }


def several(guarantees: Sequence[Guarantee], noise: Noise) -> Releasing:
    """Releases of the same contributions, as the best attacker adds them up: by one over their variances."""
    most = max(g.share for g in guarantees)
    weights = [round(1000 * g.share / most) for g in guarantees]

    def release(rows: Tensor) -> Release:
        parts = [private_release(rows, g, noise) for g in guarantees]
        totals = zip(*(part.total for part in parts), strict=True)
        total = [sum(w * n for w, n in zip(weights, column, strict=True)) for column in totals]
        return Release(total, sum(w * part.count for w, part in zip(weights, parts, strict=True)))

    return release


def last_bits(guarantee: Guarantee, count: int = COUNTS) -> dict[str, Proofs]:
    """The audit of last bits: of the release as it is, and of one in floating point, to be found out."""
    made = {AS_IT_IS: integer_release(guarantee), "in floating point": float_release(guarantee)}
    return {
        name: audit_last_bits(release, FEW_PATIENTS, guarantee.epsilon, count)
        for name, release in made.items()
    }


def print_audit(console: Console, guarantee: Guarantee, releases: int) -> bool:
    """Run the audit and print it; whether the promise held and the broken release was found out."""
    found = stated_and_broken(guarantee, releases)
    table = Table(
        title=f"promised: epsilon {guarantee.epsilon:g} at delta {guarantee.delta:g}; "
        f"{releases} releases with the patient, {releases} without",
        title_justify="left",
    )
    for heading in ("release", "right, of 100", "wrong, of 100", "epsilon", "at least"):
        table.add_column(heading, justify="left" if heading == "release" else "right")
    for name, f in found.items():
        rates = [f"{100 * f.power:.1f}", f"{100 * f.alarms:.1f}"]
        table.add_row(name, *rates, f"{f.epsilon:.2f}", f"{f.at_least:.2f}")
    table.caption = "right: said of a release with the patient that it is one; wrong: said so of one without"
    console.print(table)
    bits = last_bits(guarantee)
    _print_bits(console, guarantee, bits)
    held = all(found[name].at_least <= guarantee.epsilon for name in (AS_IT_IS, TOGETHER))
    held = held and bits[AS_IT_IS].delta <= guarantee.delta
    caught = all(found[name].at_least > guarantee.epsilon for name in (HALVED, UNSHARED))
    caught = caught and bits["in floating point"].delta > guarantee.delta
    console.print("The promise held." if held else "[bold red]The promise is broken.[/]")
    console.print(
        "The broken releases were found out." if caught else "Too few releases to find out a broken one."
    )
    return held and caught


def _print_bits(console: Console, guarantee: Guarantee, found: dict[str, Proofs]) -> None:
    table = Table(
        title=f"promised: delta {guarantee.delta:g}; do last bits of {COUNTS} releases tell "
        f"{FEW_PATIENTS} patients from {FEW_PATIENTS - 1}?",
        title_justify="left",
    )
    for heading in ("release", "right, of 100", "wrong, of 100", "delta of at least"):
        table.add_column(heading, justify="left" if heading == "release" else "right")
    for name, f in found.items():
        table.add_row(name, f"{100 * f.there:.2f}", f"{100 * f.alarms:.2f}", f"{f.delta:.1g}")
    console.print(table)


def _score(answer: Release, target: Tensor) -> float:
    """The likelihood ratio of a Gaussian mechanism, up to a constant: what the best attacker goes by."""
    along = sum(a * b for a, b in zip(answer.total, target.tolist(), strict=True))
    return float(along + COUNT_STEPS * answer.count)


def _bound(found: int, tries: int, *, low: bool) -> float:
    """Clopper and Pearson's bound of a rate, 97.5 % on one side."""
    if low:
        return float(beta.ppf(0.025, found, tries - found + 1)) if found else 0.0
    return float(beta.ppf(0.975, found + 1, tries - found)) if found < tries else 1.0
