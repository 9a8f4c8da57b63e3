"""``report.html``: one file that needs no network and no script, made of the summary alone."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path

import jinja2
import matplotlib
from matplotlib.figure import Figure

from clinical_qkt import __version__
from clinical_qkt.files import write_text, write_whole
from clinical_qkt.report import alternatives, facts, figures, words
from clinical_qkt.report.facts import Summary


def write(folder: Path, summary: Summary) -> None:
    """Write ``figures/*.png`` and ``report.html``, which embeds them.

    Args:
        folder: of the transfer.
        summary: as in ``summary.json``.
    """
    pictures = {}
    for name, figure in figures.drawn(summary).items():
        path = folder / "figures" / f"{name}.png"
        save(path, figure)
        pictures[name] = base64.b64encode(path.read_bytes()).decode("ascii")
    write_text(folder / "report.html", page(summary, pictures))


@matplotlib.rc_context({"text.parse_math": False})  # labels of ticks are made only now
def save(path: Path, figure: Figure, dpi: int = figures.DPI) -> None:
    """A figure as a PNG, which is the same for the same figures: it names no software and no time."""
    write_whole(path, partial(figure.savefig, dpi=dpi, metadata={"Software": None}))


def page(summary: Summary, pictures: dict[str, str]) -> str:
    """The report's HTML.

    Args:
        pictures: the figures by name, as PNG in base 64.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("clinical_qkt"),
        autoescape=True,  # names of classes and sites come from other sites
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "points": words.points,
        "joined": words.joined,
        "counted": words.counted,
        "short": words.short,
    }
    return environment.get_template("report.html.j2").render(
        s=summary,
        names=facts.names_of(summary),
        pictures=pictures,
        alternatives={name: tell(summary) for name, tell in alternatives.ALL.items() if name in pictures},
        facts=facts,
        words=words,
        untested=facts.untested(summary),
        few=facts.few(summary),
        mistakes=facts.mistakes(summary),
        answered=facts.answered(summary),
        relabelled=facts.relabelled(summary),
        version=__version__,
    )
