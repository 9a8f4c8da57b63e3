"""Simulated federations: which classes each site has, and who asks for what. Class lists alone decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_qkt.core.errors import InputError, QueryError


def pathological(classes: int, sites: int, per_site: int | Sequence[int], seed: int) -> list[list[int]]:
    """Deal classes to sites: each site has ``per_site`` of them, each class is at one site or more.

    With several numbers they are given to the sites in turn.

    The partition is "pathological" in the sense of McMahan et al. (2017): sites see only some classes.

    Returns:
        Per site the sorted positions of its classes.

    Raises:
        InputError: the numbers do not fit.
    """
    if classes < 3:
        raise InputError(
            f"there are {classes} classes; a federation needs at least three",
            where="--data",
            fix="use data with more classes: two at each site, and one to ask for",
        )
    numbers = [per_site] if isinstance(per_site, int) else list(per_site)
    wrong = next((n for n in numbers if not 2 <= n < classes), None)
    if wrong is not None or not numbers:
        raise InputError(
            f"a site cannot have {wrong or 0} of {classes} classes",
            where="--classes-per-site",
            fix=f"give 2 to {classes - 1}",
        )
    sizes = [numbers[i % len(numbers)] for i in range(sites)]
    if sites < 2 or min(sizes) * sites < classes:
        raise InputError(
            f"{sites} sites with {' or '.join(map(str, numbers))} classes each cannot hold {classes} classes",
            where="--sites",
            fix="simulate more sites or give each more classes",
        )
    rng = np.random.default_rng(seed)
    dealt: list[set[int]] = [set() for _ in range(sites)]
    for i, c in enumerate(rng.permutation(classes)):
        dealt[i % sites].add(int(c))
    for mine, size in zip(dealt, sizes, strict=True):
        others = [c for c in range(classes) if c not in mine]
        mine.update(rng.choice(others, size - len(mine), replace=False).tolist())
    return [sorted(mine) for mine in dealt]


@dataclass(frozen=True)
class Ask:
    """Who asks for what: a student site's position and the positions of the queried classes."""

    student: int
    classes: tuple[int, ...]


def choose_query(
    dealt: Sequence[Sequence[int]], student: int | None = None, wanted: Sequence[int] | None = None
) -> Ask:
    """The query that most sites can teach.

    Among the classes that a site lacks: the one that most other sites have, and of these the one whose
    holders share most classes with the student. It looks at class lists alone, never at images or results.

    Args:
        dealt: each site's classes, as from ``pathological``.
        student: only this site asks.
        wanted: only these classes are asked for, together.

    Raises:
        QueryError: no site lacks what is wanted and another has.
    """
    best: tuple[tuple[int, float], Ask] | None = None
    for s, mine in enumerate(dealt):
        lacking = sorted({c for other in dealt for c in other} - set(mine))
        asks = [tuple(wanted)] if wanted else [(c,) for c in lacking]
        for ask in asks:
            if (student is not None and s != student) or set(ask) & set(mine):
                continue
            holders = [[other for other in dealt if c in other] for c in ask]
            shared = float(np.mean([len(set(t) & set(mine)) for teachers in holders for t in teachers]))
            score = (min(len(teachers) for teachers in holders), shared)
            if best is None or score > best[0]:
                best = (score, Ask(s, ask))
    if best is None:
        raise QueryError(
            "the site knows a queried class already" if wanted else "no site lacks a class that another has",
            where="--query",
            fix="ask for a class that the student lacks, or choose another student",
        )
    return best[1]
