"""Opening NIfTI volumes, whole or in patches, and writing them anew under salted names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import private_folder
from clinical_qkt.data import volumes
from clinical_qkt.data.formats import ImageRefused
from clinical_qkt.prepare.findings import Found
from clinical_qkt.prepare.labelling import Label, Labelling, TableLabels
from clinical_qkt.prepare.patches import Cutting, cut
from clinical_qkt.prepare.patients import name_patient
from clinical_qkt.prepare.pseudonyms import Salt

Array = np.ndarray[Any, Any]

ALIKE = 1e-2
"""Millimetres, or parts of a voxel that is smaller than one, by which a volume and its map may lie apart."""
SHOWN = 10
"""Values of label maps that an error names, at most."""


@dataclass
class Volumes:
    """NIfTI volumes with one label each; they are written anew.

    Args:
        labelling: None in a survey, which writes nothing.
        spacing: of the new voxels in mm; None keeps each volume's own.
        folder: where they go.
    """

    salt: Salt
    labelling: Labelling | None
    intensity: volumes.Intensity
    spacing: float | None
    folder: Path

    def __call__(self, path: Path, file: PurePath) -> Iterator[Found]:
        one = Found(self.salt.name("file", file.as_posix()), path, "nifti", readable=False)
        try:
            values, affine = volumes.framed(*volumes.read_volume(path), self.spacing)
            values = volumes.scaled(values, self.intensity)
            one.readable = True
            measure_volume(one, values, affine)
            if self.labelling is not None:
                label = self.labelling.label(file, None)
                one.label = label.name
                name_patient(one, file, self.salt, label)
                write(one, self.folder, values, affine)
        except ImageRefused as e:
            one.reason = str(e)
        yield one


@dataclass
class Parts:
    """Patches of NIfTI volumes whose voxels are labelled; a volume is a patient unless a table knows better.

    Args:
        maps: folder of label maps, named as the volumes.
        table: of patients, if there is one.
        seed: of the patches' places.

    Attributes:
        mapped: how many label maps were read.
        holding: how many of them hold each value above or below 0.
    """

    salt: Salt
    maps: Path
    cutting: Cutting
    table: TableLabels | None
    intensity: volumes.Intensity
    spacing: float | None
    folder: Path
    seed: int
    seen: int = field(default=0, init=False)
    mapped: int = field(default=0, init=False)
    holding: Counter[int] = field(default_factory=Counter, init=False)

    def __call__(self, path: Path, file: PurePath) -> Iterator[Found]:
        whole = Found(self.salt.name("file", file.as_posix()), path, "nifti", readable=False)
        self.seen += 1
        try:
            values, labels, affine = self.read(path, file)
            whole.readable = True
            label = self.table.label(file, None) if self.table else Label("")
        except ImageRefused as e:
            whole.reason = str(e)
            yield whole
            return
        yield from self.patches(whole, file, label, (values, labels, affine))

    def patches(
        self, whole: Found, file: PurePath, label: Label, volume: tuple[Array, Array, Array]
    ) -> Iterator[Found]:
        """The patches of one volume; the volume itself, refused, where there is room for none."""
        drawn = np.random.default_rng([self.seed, self.seen])
        found = list(cut(*volume, self.cutting, drawn))
        if not found:
            whole.reason = "no part is thick enough, or far enough from the edge, for a patch around it"
            yield whole
        for k, patch in enumerate(found):
            one = Found(
                self.salt.name("patch", file.as_posix(), str(k)), whole.path, "nifti", label=patch.name
            )
            name_patient(one, file, self.salt, label)
            measure_volume(one, patch.values, patch.affine)
            write(one, self.folder, patch.values, patch.affine)
            yield one

    def note_values(self, labels: Array) -> None:
        """Count what a label map holds."""
        self.mapped += 1
        self.holding.update(int(v) for v in np.unique(labels) if v != 0)

    def told(self) -> list[str]:
        """Once all volumes were seen: values that maps hold and no part names, in words.

        Raises:
            InputError: a part's value is in no map that was read, so its class would be missing.
        """
        parts = self.cutting.parts
        absent = [f"{name}={value}" for name, value in parts.items() if not self.holding[value]]
        if self.mapped and absent:
            held = ", ".join(str(v) for v in sorted(self.holding)[:SHOWN]) or "none but 0"
            more = ", …" if len(self.holding) > SHOWN else ""
            raise InputError(
                f"none of {self.mapped} label maps holds the value of {', '.join(absent)}",
                where="--parts",
                fix=f"name values that they hold: {held}{more}",
            )
        neither = f", and those of '{self.cutting.neither}' keep away from it" if self.cutting.neither else ""
        return [
            f"{count} of {self.mapped} label maps hold the value {value}, which no part names: "
            f"no patch is cut there{neither}"
            for value, count in sorted(self.holding.items())
            if value not in parts.values()
        ]

    def read(self, path: Path, file: PurePath) -> tuple[Array, Array, Array]:
        """A volume, the labels of its voxels, and their common affine.

        Raises:
            ImageRefused: one of the two cannot be read, or they do not fit.
        """
        values, affine = volumes.read_volume(path)
        try:
            labels, other = volumes.read_labels(self.maps / file)
        except ImageRefused as e:
            raise ImageRefused(f"its label map: {e}") from None
        near = ALIKE * min(1.0, *volumes.spacing_of(affine))
        if labels.shape != values.shape or not np.allclose(affine, other, atol=near):
            raise ImageRefused("its label map has another shape or another place in space")
        self.note_values(labels)
        if not np.isin(list(self.cutting.parts.values()), labels).any():
            raise ImageRefused("its label map holds none of the parts")
        framed, moved = volumes.framed(values, affine, self.spacing)
        maps, _ = volumes.framed(labels, affine, self.spacing, labels=True)
        return volumes.scaled(framed, self.intensity), maps, moved


def measure_volume(one: Found, values: Array, affine: Array) -> None:
    """Note the facts of a volume as it is written."""
    one.measure(values, (1, *values.shape), float(values.min()), float(values.max()))
    one.spacing = volumes.spacing_of(affine)


def write(one: Found, folder: Path, values: Array, affine: Array) -> None:
    """Write a volume under its salted name."""
    one.written = private_folder(folder) / f"{one.name}.nii.gz"
    volumes.write_volume(one.written, values, affine)
