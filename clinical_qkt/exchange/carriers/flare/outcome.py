"""Whom a sweep reached: a line of the relay's log names the sites, and nothing of parcels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

REACHED, MISSED = "sweep reached: ", "sweep did not reach: "
"""How the two lines begin."""
CUT_OFF = "sweep was cut off"
"""A third one, where FLARE ended it: one site's process that ends abnormally ends the job for all."""


@dataclass(frozen=True)
class Swept:
    """What came of a sweep. FLARE's own status of the job tells nothing of parcels, and is not looked at."""

    reached: tuple[str, ...] = ()
    """Sites that answered to the end."""
    missed: tuple[str, ...] = ()
    """Connected sites that did not, or only in part: the next sweep serves them."""
    absent: tuple[str, ...] = ()
    """Sites that were asked for and are not connected."""
    cut_off: bool = False
    """FLARE ended it before its end, so that also sites that were reached may have more to give or get."""


def swept(log: str, asked: Iterable[str]) -> Swept:
    """What the relay's log tells.

    Args:
        asked: the sites that the job was deployed to.

    >>> swept("… - sweep reached: hospital_a", ["hospital_b", "hospital_a"])
    Swept(reached=('hospital_a',), missed=('hospital_b',), absent=(), cut_off=False)
    """
    lines = [line.partition(REACHED)[2] for line in log.splitlines() if REACHED in line]
    reached = {name.strip() for name in lines[-1].split(",")} if lines else set[str]()
    asked = sorted(asked)
    here, gone = [s for s in asked if s in reached], [s for s in asked if s not in reached]
    return Swept(tuple(here), tuple(gone), cut_off=CUT_OFF in log)
