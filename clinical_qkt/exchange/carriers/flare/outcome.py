"""Whom a sweep reached: a line of the relay's log names the sites, and nothing of parcels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

REACHED, MISSED = "sweep reached: ", "sweep did not reach: "
"""How the two lines begin."""


@dataclass(frozen=True)
class Swept:
    """What came of a sweep. FLARE's own status of the job tells nothing of parcels, and is not looked at."""

    reached: tuple[str, ...] = ()
    """Sites that answered to the end."""
    missed: tuple[str, ...] = ()
    """Connected sites that did not, or only in part: the next sweep serves them."""
    absent: tuple[str, ...] = ()
    """Sites that were asked for and are not connected."""


def swept(log: str, asked: Iterable[str], absent: Iterable[str] = ()) -> Swept:
    """What the relay's log tells.

    Args:
        asked: the sites that the job was deployed to.
        absent: those that it was not, though somebody named them.

    >>> swept("… - sweep reached: hospital_a", ["hospital_b", "hospital_a"])
    Swept(reached=('hospital_a',), missed=('hospital_b',), absent=())
    """
    lines = [line.partition(REACHED)[2] for line in log.splitlines() if REACHED in line]
    reached = {name.strip() for name in lines[-1].split(",")} if lines else set[str]()
    asked = sorted(asked)
    here, gone = [s for s in asked if s in reached], [s for s in asked if s not in reached]
    return Swept(tuple(here), tuple(gone), tuple(sorted(absent)))
