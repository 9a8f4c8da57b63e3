"""What ``prepare`` found, told to people: ``summary.json``, ``summary.html`` and the terminal.

Files are called by their salted names; nothing here knows a path or an identifier.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from clinical_qkt import __version__
from clinical_qkt.data.datalist import SECTIONS, Section
from clinical_qkt.data.formats import Kind
from clinical_qkt.data.found import Found
from clinical_qkt.data.identifiers import KEYWORDS
from clinical_qkt.data.images import size_of
from clinical_qkt.data.stacks import Stack
from clinical_qkt.files import write_text

SCHEMA = "clinical-qkt/intake-summary/1"
KINDS: dict[Kind, str] = {"picture": "pictures", "dicom": "DICOM files", "nifti": "NIfTI volumes"}
COLOURS = {"training": "#0072B2", "validation": "#999999", "test": "#D55E00"}
SHOWN = 12
"""Lines of a list that the terminal shows; the summary has all."""
LONGEST = 50
"""Rows of a list that the page shows."""

Sections = dict[Section, list[Found]]


def summary(
    found: Sequence[Found], stacks: Sequence[Stack], sections: Sections | None, notes: Sequence[str]
) -> dict[str, Any]:
    """Everything that was found, as plain JSON data.

    Args:
        found: all files that were opened.
        sections: None for a survey.
        notes: what was decided, in words.
    """
    used = [f for f in found if not f.reason]
    return {
        "schema": SCHEMA,
        "command": "prepare",
        "version": __version__,
        "kind": KINDS[Counter(f.kind for f in found).most_common(1)[0][0]],
        "opened": len(found),
        "used": len(used),
        "patients": len({f.patient for f in used}) if all(f.patient for f in used) else None,
        "patients_from": dict(Counter(f.patient_from for f in used if f.patient)),
        "classes": _classes(sections) if sections is not None else {},
        "sizes": _counted(size_of(f.shape) for f in used),
        "channels": _counted(f.shape[0] for f in used),
        "spacings_mm": _counted(_spacing(f) for f in used),
        "intensity": _intensity(used),
        "left_out": _counted(_kind_of_reason(f) for f in found if f.reason),
        "left_out_files": [{"file": f.name, "reason": f.reason} for f in found if f.reason],
        "series": [_series(s) for s in stacks],
        **_headers(found),
        "notes": list(notes),
    }


def patients_told(used: Sequence[Found]) -> list[str]:
    """How patients were told apart, where that is less than sure."""
    by = Counter(f.patient_from for f in used if f.patient)
    told = []
    if by["study"]:
        told.append(
            f"{by['study']} images name no patient and are grouped by study: a patient with two studies "
            "counts as two"
        )
    if by["image"] and used[0].kind == "nifti":
        told.append("each volume counts as a patient; a CSV file with a column 'patient' says otherwise")
    elif by["image"]:
        told.append(
            f"{by['image']} images name no patient: each stands for itself, so images of one patient may be "
            "in two splits; a CSV file with a column 'patient' prevents that"
        )
    return told


def empty_folders_told(source: Path, found: Sequence[Found]) -> list[str]:
    """Sub-folders that would be classes if they held images that can be used."""
    folders = {p.name for p in source.iterdir() if p.is_dir() and not p.name.startswith(".")}
    empty = folders - {f.label for f in found if not f.reason}
    return (
        [f"{len(empty)} sub-folders hold no image that can be used, so they make no class"] if empty else []
    )


def split_told(used: Sequence[Found], seed: int) -> str:
    """How images were dealt."""
    grouped = len({f.patient for f in used}) < len(used)
    how = "by patient" if grouped else "stratified"
    return f"70/10/20 % were drawn for training, validation and test, {how}, with seed {seed}"


def write_page(path: Path, facts: dict[str, Any]) -> None:
    """One page for a reader, that needs no network and shows no image: writing may be burned into one."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("clinical_qkt"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    picture = _picture(facts["classes"]) if facts["classes"] else None
    odd_first = sorted(
        facts["series"], key=lambda row: not (row["even"] is False or row["tilt_of_positions"])
    )
    page = environment.get_template("intake.html.j2").render(
        s=facts, sections=SECTIONS, picture=picture, series=odd_first[:LONGEST], longest=LONGEST
    )
    write_text(path, page)


def show(console: Console, facts: dict[str, Any]) -> None:
    """The summary's main lines in the terminal."""
    title = f"{facts['kind']}: {facts['used']} images can be used, {facts['opened'] - facts['used']} cannot"
    if facts["classes"]:
        table = Table(title=title, title_justify="left")
        for heading in ("class", *SECTIONS, "patients"):
            table.add_column(heading, justify="left" if heading == "class" else "right")
        for name, row in facts["classes"].items():
            table.add_row(name, *(str(row["images"][s]) for s in SECTIONS), str(row["patients"]["all"]))
        console.print(table)
    else:
        console.print(title)
    for line in _lines(facts):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    yield f"sizes: {_listed(facts['sizes'])}; spacing in mm: {_listed(facts['spacings_mm'])}"
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
    console.print(f"Summary: {out / 'summary.html'}", soft_wrap=True)
    if prepared:
        console.print(
            f"Next: read and complete {out / 'site.yaml'}, then run the bundle's train.yaml with it.",
            soft_wrap=True,
        )
        return
    header = " or the keyword of a DICOM attribute such as BodyPartExamined" if kind == "dicom" else ""
    voxels = ", or --voxel-labels and --parts" if kind == "nifti" else ""
    console.print(
        "This was a survey; no datalist was written. Next: prepare again into a new folder with --labels and "
        f"a CSV file (file,label,patient), 'folder'{header}{voxels}.",
        soft_wrap=True,
    )


def _classes(sections: Sections) -> dict[str, Any]:
    names = sorted({f.label for images in sections.values() for f in images})
    rows: dict[str, Any] = {}
    for name in names:
        mine = {s: [f for f in images if f.label == name] for s, images in sections.items()}
        patients = {s: len({f.patient for f in images}) for s, images in mine.items()}
        everybody = len({f.patient for images in mine.values() for f in images})
        rows[name] = {
            "images": {s: len(images) for s, images in mine.items()},
            "patients": {**patients, "all": everybody},
        }
    return rows


def _counted(values: Iterable[Any]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}


def _spacing(one: Found) -> str:
    return " x ".join(f"{s:.3g}" for s in one.spacing) if one.spacing else "not known"


def _intensity(used: Sequence[Found]) -> dict[str, float] | None:
    if not used:
        return None
    lows, highs = [f.low for f in used], [f.high for f in used]
    return {
        "lowest": min(lows),
        "highest": max(highs),
        "median_of_lowest": sorted(lows)[len(lows) // 2],
        "median_of_highest": sorted(highs)[len(highs) // 2],
    }


def _kind_of_reason(one: Found) -> str:
    """Duplicates are counted together, whatever they are duplicates of."""
    return "shows the same as another image" if one.reason.startswith("shows the same as") else one.reason


def _series(stack: Stack) -> dict[str, Any]:
    found = stack.geometry
    return {
        "series": stack.series,
        "slices": len(stack.images),
        "size": size_of(stack.images[0].shape),
        "spacing_mm": found and found.spacing,
        "smallest_mm": found and found.smallest,
        "largest_mm": found and found.largest,
        "even": found and found.even,
        "tilt_of_positions": found and round(found.tilt, 2),
        "tilt_in_header": stack.tilt,
    }


def _headers(found: Sequence[Found]) -> dict[str, Any]:
    """Identifying attributes and burned-in writing, over all DICOM headers that could be read."""
    seen = [f.slice.findings for f in found if f.slice]
    files: Counter[str] = Counter(keyword for one in seen for keyword in one.identifying)
    return {
        "identifying": {k: {"files": n, "about": KEYWORDS[k]} for k, n in files.most_common()},
        "private_attributes": sum(one.private > 0 for one in seen),
        "burned_in": _counted(one.burned_in or "not said" for one in seen),
        "identity_removed": _counted(one.removed or "not said" for one in seen),
    }


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
    axes.set_yticks(range(len(classes)), list(classes))
    axes.invert_yaxis()
    axes.set(xlabel="images")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    content = io.BytesIO()
    figure.savefig(content, dpi=130, format="png", metadata={"Software": None})
    plt.close(figure)
    return base64.b64encode(content.getvalue()).decode("ascii")
