"""Control charts: every check a dot, its limits beside it; one picture a rule, narrow enough for a phone."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure

from clinical_qkt.monitoring.check import IN_WORDS, Check, Counted
from clinical_qkt.monitoring.drift import RULES, Rule

DPI = 170
SHOWN = 52
"""Checks that a chart shows: the latest."""
QUIET, ALARM, LIMIT = "#0072B2", "#B33A00", "#555555"
"""Told apart in grey, too: an alarm is a large square, a quiet check a small dot."""


@dataclass(frozen=True)
class Chart:
    """A picture and what it shows in words.

    Attributes:
        png: in base 64.
    """

    title: str
    png: str
    told: str


@dataclass(frozen=True)
class _Point:
    value: float
    low: float | None
    high: float | None
    alarm: bool


def charts(checks: Sequence[Check]) -> Iterator[Chart]:
    """A chart for each rule that a check has something for.

    Args:
        checks: in their order; the last ``SHOWN`` are drawn.
    """
    latest = list(checks)[-SHOWN:]
    for rule in RULES:
        points = [_changed(c, rule) for c in latest]
        yield _chart(IN_WORDS[rule].capitalize(), "deviation", latest, points)
    for name in latest[-1].counts:
        counted = [(c.counts.get(name), c.units) for c in latest]
        yield _chart(
            f"Called {name}", f"% of {latest[-1].unit}s", latest, [_share(*pair) for pair in counted]
        )
    lost = [_share(c.unreadable, c.listed) for c in latest]
    yield _chart("Cannot be read", "% of files", latest, lost)


def _changed(check: Check, rule: Rule) -> _Point | None:
    part = check.images_changed.get(rule)
    return _Point(part.deviation, None, part.limit, rule in check.alarms) if part else None


def _share(counted: Counted | None, of: int) -> _Point | None:
    """In percent."""
    if counted is None or not of:
        return None
    low, high = (None if end is None else 100 * end / of for end in (counted.low, counted.high))
    return _Point(100 * counted.count / of, low, high, counted.outside)


def _chart(title: str, unit: str, checks: Sequence[Check], points: Sequence[_Point | None]) -> Chart:
    known = [(i, p) for i, p in enumerate(points) if p]
    alarms = [checks[i].name for i, p in known if p.alarm]
    judged = sum(p.high is not None for _, p in known)
    told = f"{title}: {len(known)} checks, {judged} with limits; "
    told += f"alarm in {', '.join(alarms)}" if alarms else "no alarm"
    if known:
        told += f"; last value {known[-1][1].value:.3g} ({unit})"
    return Chart(title, _png(title, unit, [c.name for c in checks], known), f"{told}.")


@matplotlib.rc_context({"text.parse_math": False, "font.size": 10})  # a dollar sign in a class's name is one
def _png(title: str, unit: str, names: Sequence[str], known: Sequence[tuple[int, _Point]]) -> str:
    figure = Figure(figsize=(4.2, 2.6), layout="constrained")
    axes = figure.subplots()
    for end, mark in (("high", "upper limit"), ("low", "lower limit")):
        limits = [(i, getattr(p, end)) for i, p in known if getattr(p, end) is not None]
        if limits:
            style = "--" if end == "high" else ":"
            axes.plot(*zip(*limits, strict=True), style, color=LIMIT, marker="_", lw=1.3, label=mark)
    if known:
        axes.plot([i for i, _ in known], [p.value for _, p in known], color=QUIET, lw=0.8, alpha=0.6)
    for alarm, marker, size, colour in ((False, "o", 4, QUIET), (True, "s", 8, ALARM)):
        at = [(i, p.value) for i, p in known if p.alarm is alarm]
        if at:
            label = "alarm" if alarm else "quiet"
            axes.plot(
                *zip(*at, strict=True), marker, color=colour, ms=size, mec="black", mew=0.8, label=label
            )
    every = max(1, -(-len(names) // 5))
    axes.set_xticks(range(0, len(names), every), [_tick(n) for n in names[::every]], rotation=20, ha="right")
    axes.set(ylabel=unit, xlim=(-0.5, max(len(names) - 0.5, 0.5)))
    axes.set_title(title if len(title) <= 40 else title[:39] + "…", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, dpi=DPI, format="png", metadata={"Software": None})
    return base64.b64encode(content.getvalue()).decode("ascii")


def _tick(name: str) -> str:
    return name if len(name) <= 12 else name[:11] + "…"
