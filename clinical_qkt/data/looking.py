"""Opening files, one kind a class: what is found in each goes into a ``Found``, refusals included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
from PIL import Image
from pydicom import Dataset

from clinical_qkt.data import dicom, display, volumes
from clinical_qkt.data.formats import ImageRefused, kind_of
from clinical_qkt.data.found import Found, Slice
from clinical_qkt.data.headers import number, numbers, quiet, spacing, text
from clinical_qkt.data.identifiers import inspect
from clinical_qkt.data.labelling import Label, Labelling, TableLabels
from clinical_qkt.data.patches import Cutting, cut
from clinical_qkt.data.salt import Salt

Array = np.ndarray[Any, Any]


class Look(Protocol):
    """Opens a file."""

    def __call__(self, path: Path, file: PurePath) -> Iterator[Found]:
        """What one file holds; a file that cannot serve is one finding with the reason.

        Args:
            path: the file.
            file: the same relative to the source.
        """
        ...


@dataclass
class FlatImages:
    """Pictures and DICOM slices.

    Args:
        labelling: None in a survey, which needs no labels.
        allow_burned_in: take images whose header says that their pixels hold writing.
    """

    salt: Salt
    labelling: Labelling | None
    intensity: display.Intensity
    allow_burned_in: bool = False

    def __call__(self, path: Path, file: PurePath) -> Iterator[Found]:
        kind = kind_of(path) or "picture"
        one = Found(self.salt.name("file", file.as_posix()), path, kind)
        one.readable = False
        try:
            header = self.opened(one)
            one.readable = True
            name_patient(one, file, self.salt, self.label(one, file, header), header)
        except ImageRefused as e:
            one.reason = str(e)
        yield one

    def opened(self, one: Found) -> Dataset | None:
        """Decode the image and note its facts; the header of a DICOM file."""
        if one.kind == "dicom":
            return self.slice(one)
        self.picture(one)
        return None

    def label(self, one: Found, file: PurePath, header: Dataset | None) -> Label:
        """The image's label, kept in it; an empty one in a survey."""
        if self.labelling is None:
            return Label("")
        with quiet():
            found = self.labelling.label(file, header)
        one.label = found.name
        return found

    def picture(self, one: Found) -> None:
        """Open a picture with Pillow, as MONAI's reader will."""
        try:
            with Image.open(one.path) as image:
                pixels = np.asarray(image)
                shape = (len(image.getbands()), image.width, image.height)
        except Image.UnidentifiedImageError:
            raise ImageRefused("not an image") from None
        except FileNotFoundError:
            raise ImageRefused("missing") from None
        except Exception:  # a damaged file can raise anything
            raise ImageRefused("truncated or damaged") from None
        one.measure(pixels, shape, float(pixels.min()), float(pixels.max()))

    def slice(self, one: Found) -> Dataset:
        """Open a DICOM image; what identifies a patient is counted even if the image is refused."""
        header = dicom.read_header(one.path)
        with quiet():
            findings = inspect(header)
            uid = text(header, "SeriesInstanceUID")
            one.slice = Slice(
                self.salt.name("series", uid) if uid else "",
                numbers(header, "ImagePositionPatient"),
                numbers(header, "ImageOrientationPatient"),
                number(header, "GantryDetectorTilt"),
                findings,
            )
            dicom.refuse(header)
            if findings.burned_in == "YES" and not self.allow_burned_in:
                raise ImageRefused("its header says that writing is burned into the pixels")
            stored = dicom.stored_values(header)
            pixels = display.shown(header, stored, self.intensity)
            one.spacing = spacing(header)
            width, height, *channels = pixels.shape
            shape = (channels[0] if channels else 1, width, height)
            one.measure(pixels, shape, *display.measured_range(header, stored))
        return header


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
        drawn = np.random.default_rng([self.seed, self.seen])
        for number_, patch in enumerate(cut(values, labels, affine, self.cutting, drawn)):
            name = self.salt.name("patch", file.as_posix(), str(number_))
            one = Found(name, path, "nifti", label=patch.name)
            name_patient(one, file, self.salt, label)
            measure_volume(one, patch.values, patch.affine)
            write(one, self.folder, patch.values, patch.affine)
            yield one

    def read(self, path: Path, file: PurePath) -> tuple[Array, Array, Array]:
        """A volume, the labels of its voxels, and their common affine.

        Raises:
            ImageRefused: one of the two cannot be read, or they do not fit.
        """
        values, affine = volumes.read_volume(path)
        try:
            labels, other = volumes.read_volume(self.maps / file)
        except ImageRefused as e:
            raise ImageRefused(f"its label map: {e}") from None
        if labels.shape != values.shape or not np.allclose(affine, other, atol=1e-2):
            raise ImageRefused("its label map has another shape or another place in space")
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
    one.written = folder / f"{one.name}.nii.gz"
    volumes.write_volume(one.written, values, affine)


def name_patient(one: Found, file: PurePath, salt: Salt, label: Label, header: Dataset | None = None) -> None:
    """Whom an image shows: as the table says, else the header (PS3.3, section C.7.1.1), else its study."""
    if label.patient:
        one.patient, one.patient_from = salt.name("patient", "", label.patient), "table"
        return
    if header is not None:
        with quiet():
            patient, issuer = text(header, "PatientID"), text(header, "IssuerOfPatientID")
            study = text(header, "StudyInstanceUID")
        if patient:
            one.patient, one.patient_from = salt.name("patient", issuer, patient), "header"
            return
        if study:
            one.patient, one.patient_from = salt.name("study", study), "study"
            return
    one.patient = salt.name("image", file.as_posix())
