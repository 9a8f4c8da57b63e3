"""What all figures have in common: size, type, colours, signs, names.

A figure is as wide as a phone's screen shows it without scrolling, with type that can still be read there. No
figure tells anything by colour alone: signs, lines and hatching differ too, so that it reads in grey.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 4.8
"""Of a figure in inches. The page shows it no larger than it is."""
DPI = 200
TYPE, SMALL = 11.0, 9.0
"""Sizes of type in points."""
LONGEST = 40
"""Characters of a name that a figure shows; the tables show all of it."""

# Okabe and Ito's palette: told apart by colour-blind readers, and in grey.
BEFORE, AFTER, QUERIED, INK = "#707070", "#0072B2", "#D55E00", "#1b1f24"
HOLLOW: Mapping[str, Any] = {"marker": "s", "color": BEFORE, "mfc": "white", "mew": 1.4, "ms": 6}
ROUND: Mapping[str, Any] = {"marker": "o", "color": AFTER, "ms": 6}
DIAMOND: Mapping[str, Any] = {"marker": "D", "color": QUERIED, "ms": 6.5}
"""Signs: before the transfer, after it, and after it of a queried class."""


def sheet(height: float) -> Figure:
    """An empty figure of the common width.

    Args:
        height: in inches.
    """
    return Figure(figsize=(WIDTH, height), layout="constrained")


def stacked(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of as many panels below one another.

    Args:
        height: of each, in inches.
    """
    figure = sheet(height * count)
    return figure, [tidied(axes) for axes in figure.subplots(count, 1, squeeze=False)[:, 0]]


def tidied(axes: Axes) -> Axes:
    """Axes without a frame, with figures large enough to be read."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TYPE - 1)
    return axes


def whisker(axes: Axes, x: float, y: float, ends: list[float], *, upright: bool, **sign: Any) -> None:
    """A dot with its interval.

    Args:
        x, y: of the dot, in units of the axes.
        ends: of the interval, along y if ``upright``, else along x.
        sign: the dot's.
    """
    along = ([x, x], ends) if upright else (ends, [y, y])
    colour = sign["color"]
    axes.plot(*along, color=colour, lw=1.6, marker="_" if upright else "|", ms=6, clip_on=False, zorder=3)
    axes.plot([x], [y], ls="none", clip_on=False, zorder=4, **sign)


def key(axes: Axes) -> None:
    """What the lines of a panel are, above it and one below the other: names can be long."""
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(-0.05, 1), borderpad=0)


def finished(figure: Figure) -> Figure:
    """A figure of which all places and all writing are settled now: no setting of later changes them."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")  # else saving lays it out twice more
    return figure


def start(lows: Iterable[float]) -> int:
    """Where a scale of 0 to 100 begins: a round figure below all data, with room for half of it at least.

    >>> start([83.2, 96.0]), start([99.0]), start([])
    (80, 80, 0)
    """
    return min(10 * math.floor(min(lows, default=0) / 10), 80)


def span(axes: Axes, begin: int) -> None:
    """The scale along x, from ``begin`` to 100; a broken line shows that it does not begin at 0."""
    axes.set_xlim(begin, 100)
    if begin:
        for at in (0.012, 0.036):
            axes.plot(
                [at],
                [0],
                transform=axes.transAxes,
                marker=[(-1, -2), (1, 2)],
                ms=11,
                mew=1.3,
                color=INK,
                clip_on=False,
                zorder=5,
            )


def scale_note(begin: int) -> str:
    """What the axis says where it does not begin at 0."""
    return f"\n(the scale begins at {begin}, not at 0)" if begin else ""


def short(name: str, width: int = 20) -> str:
    """A name as a figure shows it: cut, on lines of so many characters."""
    cut = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return textwrap.fill(cut, width)


def flat(name: str) -> str:
    """A name inside a sentence: cut shorter, on one line."""
    return name if len(name) <= 24 else f"{name[:23]}…"
