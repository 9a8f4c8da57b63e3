"""Who has what in a simulated federation: shares of classes, and images."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import fingerprint
from clinical_qkt.data.datalist import Section
from clinical_qkt.data.sources import Source
from clinical_qkt.research.benchmark.config import Scenario
from clinical_qkt.research.partitions import Ask, pathological

LEAST_SHARE = 0.05
"""A site with a smaller share of a class's images does without it: too few to train and validate on."""


def dirichlet_shares(
    classes: int, sites: int, alpha: float, seed: int, attempts: int = 1000
) -> NDArray[np.float64]:
    """``(sites, classes)``: which share of each class goes to which site; drawn, small ones set to 0.

    Every site ends with at least two classes and lacks at least one.

    Raises:
        InputError: no such draw is found.
    """
    rng = np.random.default_rng(seed)
    for _ in range(attempts):
        shares = rng.dirichlet([alpha] * sites, classes).T
        shares[shares < LEAST_SHARE] = 0
        held = (shares > 0).sum(1)
        if held.min() >= 2 and held.max() < classes and (shares > 0).any(0).all():
            return shares / shares.sum(0)
    raise InputError(
        f"no partition of {classes} classes over {sites} sites with alpha {alpha:g} gives each site two",
        where="scenario: alpha",
        fix="raise alpha or lower the number of sites",
    )


def shares_of(scenario: Scenario, classes: int, seed: int) -> NDArray[np.float64]:
    """``(sites, classes)``: which share of each class goes to which site.

    Raises:
        InputError: the scenario's numbers do not fit the classes.
    """
    if scenario.partition == "dirichlet":
        return dirichlet_shares(classes, scenario.sites, scenario.alpha, seed)
    dealt = pathological(classes, scenario.sites, scenario.classes_per_site, seed)
    shares = np.array([[float(c in mine) for c in range(classes)] for mine in dealt])
    return shares / shares.sum(0)


def site_models(scenario: Scenario, seed: int, data: str, held: list[list[int]]) -> str:
    """The name of the folder of a federation's site models, after what decides them.

    Args:
        data: its name.
        held: classes of each site, by position.
    """
    facts = fingerprint(scenario.model_dump(exclude={"name", "query_size", "student"}), seed, data, held)
    return f"sites-{facts}"


def askable(held: list[list[int]], size: int) -> list[Ask]:
    """Every query of so many classes at once that a site lacks and others have.

    Args:
        held: classes of each site, by position.
    """
    asks = []
    for s, mine in enumerate(held):
        others = {c for i, theirs in enumerate(held) if i != s for c in theirs}
        asks += [Ask(s, chosen) for chosen in combinations(sorted(others - set(mine)), size)]
    return asks


Positions = list[dict[Section, list[int]]]
"""Of each site: the positions of its images in the data, by section."""


def dealt(
    source: Source, shares: NDArray[np.float64], set_aside: int, seed: int
) -> tuple[Positions, dict[int, list[int]]]:
    """Training and validation images dealt to the sites; no image to two of them.

    Args:
        shares: ``(sites, classes)``.
        set_aside: training images of each class that no site gets.

    Returns:
        Each site's images, and of each class those that were set aside.
    """
    rng = np.random.default_rng([seed, 1])
    out: Positions = [{"training": [], "validation": []} for _ in shares]
    aside: dict[int, list[int]] = {}
    for c in range(shares.shape[1]):
        for section in ("training", "validation"):
            of_class = source.splits[section]
            of_class = rng.permutation(of_class[source.labels[of_class] == c])
            if section == "training":
                aside[c], of_class = of_class[:set_aside].tolist(), of_class[set_aside:]
            ends = np.round(np.cumsum(shares[:, c]) * len(of_class)).astype(int)
            for mine, part in zip(out, np.split(of_class, ends[:-1]), strict=True):
                mine[section] += sorted(part.tolist())
    return out, aside


def as_they_come(source: Source, held: list[list[int]], of_site: NDArray[np.int64]) -> Positions:
    """Each site's training and validation images, where every image comes from one site.

    Args:
        held: classes of each site; it does without its images of others.
        of_site: ``(N,)``, where each image comes from.
    """
    kept = [(of_site == site) & np.isin(source.labels, mine) for site, mine in enumerate(held)]
    return [
        {section: part[mine[part]].tolist() for section, part in source.splits.items() if section != "test"}
        for mine in kept
    ]
