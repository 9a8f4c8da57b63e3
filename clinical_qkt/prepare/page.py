"""A summary of ``prepare``, told to people: ``summary.html`` and the terminal."""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clinical_qkt.core.files import write_text
from clinical_qkt.core.pages import environment
from clinical_qkt.data.datalist import SECTIONS
from clinical_qkt.data.formats import Kind

COLOURS = {"training": "#0072B2", "validation": "#999999", "test": "#D55E00"}
SHOWN = 12
"""Lines of a list that the terminal shows; the summary has all."""
LONGEST = 50
"""Rows of a list that the page shows."""
LONGEST_TICK = 40
"""Characters of a class's name beside its bar."""


def write_page(path: Path, facts: dict[str, Any]) -> None:
    """One page for a reader, that needs no network and shows no image: writing may be burned into one."""
    templates = environment("clinical_qkt.prepare")
    picture = _picture(facts["classes"]) if facts["classes"] else None
    odd_first = sorted(
        facts["series"], key=lambda row: not (row["even"] is False or row["tilt_of_positions"])
    )
    page = templates.get_template("prepare.html.j2").render(
        s=facts, sections=SECTIONS, picture=picture, series=odd_first[:LONGEST], longest=LONGEST
    )
    write_text(path, page, private=True)


def show(console: Console, facts: dict[str, Any]) -> None:
    """The summary's main lines in the terminal."""
    title = f"{facts['kind']}: {facts['used']} images can be used, {facts['opened'] - facts['used']} cannot"
    if facts["classes"]:
        table = Table(title=title, title_justify="left")
        for heading in ("class", *SECTIONS, "patients"):
            table.add_column(heading, justify="left" if heading == "class" else "right")
        for name, row in facts["classes"].items():
            table.add_row(Text(name), *(str(row["images"][s]) for s in SECTIONS), str(row["patients"]["all"]))
        console.print(table)
    else:
        console.print(title)
    for line in _lines(facts):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    yield f"sizes: {_listed(facts['sizes'])}; spacing in mm: {_listed(facts['spacings_mm'])}"
    for how, count in facts["read_as"].items():
        yield f"converted: {count} × {how}"
    for reason, count in list(facts["left_out"].items())[:SHOWN]:
        yield f"left out: {count} × {reason}"
    if facts["left_out"]:
        yield "local/files.csv tells which files these are; it never leaves the site."
    if facts["identifying"]:
        files = {keyword: row["files"] for keyword, row in facts["identifying"].items()}
        yield f"headers identify patients: {_listed(files)}"
    if facts["private_attributes"]:
        yield f"{facts['private_attributes']} files hold private attributes, which may hold anything"
    for note in facts["notes"][:SHOWN]:
        yield f"note: {note}"
    if len(facts["notes"]) > SHOWN:
        yield f"note: {len(facts['notes']) - SHOWN} more in the summary"


def tell_next(console: Console, out: Path, prepared: bool, kind: Kind) -> None:
    """What to do now."""
    console.print(f"Summary: {out / 'summary.html'}", soft_wrap=True, markup=False)
    if prepared:
        site = shlex.quote(str(out / "site.yaml"))
        console.print(
            f"Next: read {site}, then\n  clinical-qkt check {site}\n  clinical-qkt run train {site}",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
        return
    header = " or the keyword of a DICOM attribute such as BodyPartExamined" if kind == "dicom" else ""
    voxels = ", or --voxel-labels and --parts" if kind == "nifti" else ""
    console.print(
        "This was a survey; no datalist was written. Next: prepare again into a new folder with --labels and "
        f"a CSV file (file,label,patient), 'folder'{header}{voxels}.",
        soft_wrap=True,
    )


def _listed(counts: dict[str, int]) -> str:
    first = [f"{value} ({count})" for value, count in list(counts.items())[:SHOWN]]
    return ", ".join(first) + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _picture(classes: dict[str, Any]) -> str:
    """Images per class and section, as bars."""
    figure, axes = plt.subplots(figsize=(8.2, 0.45 * len(classes) + 1.4), layout="constrained")
    left = [0] * len(classes)
    for section in SECTIONS:
        widths = [row["images"][section] for row in classes.values()]
        axes.barh(range(len(classes)), widths, left=left, color=COLOURS[section], label=section)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(classes)), [_tick(name) for name in classes])
    axes.invert_yaxis()
    axes.set(xlabel="images")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    content = io.BytesIO()
    figure.savefig(content, dpi=130, format="png", metadata={"Software": None})
    plt.close(figure)
    return base64.b64encode(content.getvalue()).decode("ascii")


def _tick(name: str) -> str:
    """A class's name beside its bar: no formula, and short enough to leave room for the bar.

    >>> _tick("a" * 60) == "a" * 39 + "…"
    True
    """
    short = name if len(name) <= LONGEST_TICK else name[: LONGEST_TICK - 1] + "…"
    return short.replace("$", r"\$")
