"""What ``prepare`` can be told, and whether it fits the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.formats import Kind
from clinical_qkt.data.images import MEANINGS
from clinical_qkt.prepare.labelling import Labelling, TableLabels
from clinical_qkt.prepare.open_images import FlatImages, Look
from clinical_qkt.prepare.open_volumes import Parts, Volumes
from clinical_qkt.prepare.patches import Cutting
from clinical_qkt.prepare.pseudonyms import Salt


@dataclass(frozen=True)
class PrepareSettings:
    """What the command takes.

    Attributes:
        source: a folder, an ``.npz`` file or a datalist.
        out: a new folder.
        site: the site's pseudonym.
        labels: ``folder``, a CSV file or a DICOM keyword; None for the kind's own default.
        intensity: ``display``, ``HU`` or ``relative``; None for the kind's own default.
        spacing: of volumes that are written, in mm.
        voxel_labels: folder of label maps.
        cutting: what to cut out by them.
        salt: the file of an earlier salt.
        bits: of grey pictures whose files have 16 and use fewer.
        groups: columns of the table of labels by which results are told apart.
        longest_side: in pixels or voxels, to which larger images are shrunk; None for what a machine without
            a GPU can train.
    """

    source: Path
    out: Path
    site: str = "my_hospital"
    seed: int = 0
    labels: str | None = None
    intensity: Literal["display", "HU", "relative"] | None = None
    spacing: float | None = None
    voxel_labels: Path | None = None
    cutting: Cutting = field(default_factory=Cutting)
    salt: Path | None = None
    allow_mixed_sizes: bool = False
    allow_burned_in: bool = False
    bits: int | None = None
    groups: tuple[str, ...] = ()
    longest_side: int | None = None


def look_for(
    given: PrepareSettings, kind: Kind, labelling: Labelling | None, salt: Salt, folder: Path
) -> Look:
    """What opens files of one kind, as the options ask.

    Args:
        folder: for images that are written.

    Raises:
        InputError: an option does not fit the kind.
    """
    allowed = MEANINGS[kind]
    intensity = given.intensity or allowed[0]
    if intensity not in allowed:
        raise InputError(
            f"'{intensity}' is not for this kind of files",
            where="--intensity",
            fix=f"give {' or '.join(allowed)}",
        )
    if given.bits and kind != "picture":
        raise InputError("is for pictures only", where="--bits", fix="leave it out")
    if kind != "nifti" and (given.spacing or given.voxel_labels):
        raise InputError("is for NIfTI volumes only", where="--voxel-labels, --spacing", fix="leave it out")
    if given.cutting.parts and not given.voxel_labels:
        fix = "name the folder of label maps"
        raise InputError("is missing beside --parts", where="--voxel-labels", fix=fix)
    if kind != "nifti":
        units: Literal["display", "HU"] = "HU" if intensity == "HU" else "display"
        return FlatImages(salt, labelling, units, folder, given.allow_burned_in, given.bits)
    survey = labelling is None and given.voxel_labels is None
    scale: Literal["relative", "HU"] = "HU" if intensity == "HU" or survey else "relative"
    if given.voxel_labels is None:
        return Volumes(salt, labelling, scale, given.spacing, folder)
    if not given.cutting.parts:
        raise InputError("names no part", where="--parts", fix="give e.g. --parts anterior=1")
    if given.cutting.neither in given.cutting.parts:
        raise InputError("is called as a part is", where="--neither", fix="give another name")
    table = None
    if given.labels:
        table = TableLabels.read(Path(given.labels), labelled=False, groups=given.groups)
    return Parts(salt, given.voxel_labels, given.cutting, table, scale, given.spacing, folder, given.seed)


def parts_of(given: Sequence[str]) -> dict[str, int]:
    """Parts of a label map by the value of their voxels.

    >>> parts_of(["anterior=1", "posterior=2"])
    {'anterior': 1, 'posterior': 2}

    Raises:
        InputError: one is not ``name=number``, or a value is given twice.
    """
    parts: dict[str, int] = {}
    for part in given:
        name, _, value = part.rpartition("=")
        if not name or not value.isdigit() or value == "0":
            fix = "give e.g. --parts anterior=1 --parts posterior=2"
            raise InputError(f"'{part}' is not a name and a number above 0", where="--parts", fix=fix)
        parts[name] = int(value)
    if len(set(parts.values())) < len(given):
        raise InputError("names a part or a value twice", where="--parts", fix="name each once")
    return parts
