"""``report.html``: one file that needs no network and no script, made of the summary alone."""

from __future__ import annotations

import base64
import re
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import matplotlib
from matplotlib.figure import Figure

from clinical_qkt.core.files import write_text, write_whole
from clinical_qkt.core.pages import environment
from clinical_qkt.core.version import __version__
from clinical_qkt.evidence.failures import PLACE
from clinical_qkt.review.report import (
    alternatives,
    facts,
    figures,
    further,
    headline,
    looks,
    others,
    practice,
    promise,
    rule,
    spelled,
    words,
    worth,
)
from clinical_qkt.review.report.facts import Summary
from clinical_qkt.review.report.figures.worth import chosen

FILTERS = ("counted", "day", "digest", "ends", "joined", "lost", "lost_ends", "percent", "rates", "short")


class Labelled(NamedTuple):
    """What labelled images of an archive say, see ``worklist.telling``: plain text.

    Attributes:
        sentences: what to know of the figures.
        tables: by queried class, what is counted, the estimate, and its interval.
    """

    sentences: list[str]
    tables: dict[str, list[tuple[str, str, str]]]


def write(folder: Path, summary: Summary, worklist: Labelled | None = None) -> None:
    """Write ``figures/*.png`` and ``report.html``, which embeds them.

    Args:
        folder: of the transfer.
        summary: as in ``summary.json``.
        worklist: what labelled images of an archive say, where there are any.
    """
    pictures = {}
    for name, figure in figures.drawn(summary).items():
        path = folder / "figures" / f"{name}.png"
        save(path, figure)
        pictures[name] = base64.b64encode(path.read_bytes()).decode("ascii")
    listed = (folder / PLACE).is_file()
    write_text(folder / "report.html", page(summary, pictures, failures=listed, worklist=worklist))


@matplotlib.rc_context({"text.parse_math": False})  # labels of ticks are made only now
def save(path: Path, figure: Figure, dpi: int = figures.DPI) -> None:
    """A figure as a PNG, which is the same for the same figures: it names no software and no time."""
    write_whole(path, partial(figure.savefig, dpi=dpi, metadata={"Software": None}))


def page(
    summary: Summary,
    pictures: dict[str, str],
    *,
    failures: bool = False,
    worklist: Labelled | None = None,
) -> str:
    """The report's HTML.

    Args:
        pictures: the figures by name, as PNG in base 64.
        failures: whether the list of wrong answers lies beside it, see ``evidence.failures``.
        worklist: as for ``write``.
    """
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            s=summary,
            names=summary.names,
            pictures=pictures,
            alternatives={name: tell(summary) for name, tell in alternatives.ALL.items() if name in pictures},
            facts=facts,
            further=further,
            headline=headline,
            looks=looks,
            others=others,
            practice=practice,
            promise=promise,
            rule=rule,
            spelled=spelled,
            chosen=chosen(summary),
            worth=worth,
            words=words,
            untested=facts.untested(summary),
            few=facts.few(summary),
            mistakes=facts.mistakes(summary),
            answered=facts.answered(summary),
            relabelled=facts.relabelled(summary),
            failures=PLACE.as_posix() if failures else None,
            worklist=worklist,
            plain_id=plain(summary.identity.report_id),
            version=__version__,
        )
    )


def plain(told: str) -> str:
    """Letters, digits and hyphens alone, as may stand in a style sheet.

    >>> plain('1A2B-3C4D"} </style>')
    '1A2B-3C4Dstyle'
    """
    return re.sub(r"[^0-9A-Za-z-]", "", told)[:40]


@cache
def _environment() -> jinja2.Environment:
    templates = environment("clinical_qkt.review.report", trim=True)
    told: dict[str, Any] = {name: getattr(spelled, name) for name in FILTERS}
    templates.filters |= {**told, "points": words.points, "rate": _rate, "thousand": _thousand}
    return templates


def _rate(share: float | None) -> str:
    return "unknown" if share is None else spelled.signs(spelled.rate(share))


def _thousand(share: float) -> str:
    """Of 1,000 images; below zero where false alarms weigh more."""
    value = 1000 * share
    return f"{value + 0.0:,.{0 if abs(value) >= 9.95 else 1}f}"
