"""What ``prepare`` found, as plain data: the content of ``summary.json``.

Files are called by their salted names; nothing here knows a path or an identifier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clinical_qkt.core.version import __version__
from clinical_qkt.data.class_names import shown
from clinical_qkt.data.datalist import Section
from clinical_qkt.data.formats import Kind
from clinical_qkt.data.images import size_of
from clinical_qkt.data.splits import dealt_told
from clinical_qkt.prepare.findings import Found
from clinical_qkt.prepare.identifiers import KEYWORDS
from clinical_qkt.prepare.stacks import Stack

SCHEMA = "clinical-qkt/prepare-summary/1"
KINDS: dict[Kind, str] = {"picture": "pictures", "dicom": "DICOM files", "nifti": "NIfTI volumes"}
DARKEST = 64.0
"""Brightness that a picture should reach somewhere."""
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
        "read_as": _counted(f.read_as for f in used if f.read_as),
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
    folders = {p.name for p in source.iterdir() if p.is_dir()}
    hidden = {name for name in folders if name.startswith(".")}
    empty = folders - hidden - {f.label for f in found if not f.reason}
    told = {
        "passed over, since their names begin with a dot": hidden,
        "without an image that can be used": empty,
    }
    return [f"sub-folders {how}: {len(names)}" for how, names in told.items() if names]


def dark_told(used: Sequence[Found]) -> list[str]:
    """Whether pictures are so dark that their numbers may mean something else."""
    dark = [f for f in used if f.kind == "picture" and f.high < DARKEST]
    if len(dark) * 2 <= len(used) or not dark:
        return []
    return [
        f"{len(dark)} of {len(used)} pictures are very dark: nothing in them is brighter than {DARKEST:g} of "
        "255; look at some, since their numbers may mean something else than brightness"
    ]


def lost_classes_told(found: Sequence[Found]) -> list[str]:
    """Classes that labels name and no image is left of, with the reason that most of theirs have."""
    lost: dict[str, Counter[str]] = {f.label: Counter() for f in found if f.label}
    for one in found:
        if not one.reason:
            lost.pop(one.label, None)
        elif one.label in lost:
            lost[one.label][_kind_of_reason(one)] += 1
    return [
        f"no image of class {shown(label)} can be used, so there is no such class: "
        + ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common(1))
        for label, reasons in lost.items()
    ]


def split_told(sections: Sections, seed: int) -> str:
    """How images were dealt: the shares that came out, and the classes that came out otherwise."""
    return dealt_told({s: [(f.label, f.patient) for f in images] for s, images in sections.items()}, seed)


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
    return "shows the same as another image" if one.duplicate else one.reason


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
