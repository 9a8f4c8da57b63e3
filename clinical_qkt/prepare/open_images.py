"""Opening files, one kind a class: what is found in each goes into a ``Found``, refusals included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
from pydicom import Dataset

from clinical_qkt.core.files import private_folder
from clinical_qkt.data import dicom, display
from clinical_qkt.data.formats import ImageRefused, kind_of
from clinical_qkt.data.headers import number, numbers, quiet, spacing, text
from clinical_qkt.data.pictures import read_picture, write_picture
from clinical_qkt.prepare.findings import Found, Slice
from clinical_qkt.prepare.identifiers import inspect
from clinical_qkt.prepare.labelling import Label, Labelling
from clinical_qkt.prepare.patients import identity, name_patient
from clinical_qkt.prepare.pseudonyms import Salt

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
        folder: for pictures that are written anew.
        allow_burned_in: take images whose header says that their pixels hold writing.
        bits: of grey pictures with more than 8, where a person says so.
    """

    salt: Salt
    labelling: Labelling | None
    intensity: display.Intensity
    folder: Path
    allow_burned_in: bool = False
    bits: int | None = None

    def __call__(self, path: Path, file: PurePath) -> Iterator[Found]:
        kind = kind_of(path) or "picture"
        one = Found(self.salt.name("file", file.as_posix()), path, kind)
        one.readable = False
        try:
            header = self.opened(one)
            one.readable = True
            name_patient(one, file, self.salt, self.label(one, file, header))
        except ImageRefused as e:
            one.reason, one.fix = str(e), e.fix
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
        """Open a picture as the stages will; write it anew where a person said how many bits it has."""
        found = read_picture(one.path, self.bits)
        one.read_as = "; ".join(found.told)
        low, high = float(found.values.min()), float(found.values.max())
        one.measure(found.values, found.shape, low, high)
        if self.bits and found.deep and self.labelling is not None:
            one.written = self.folder / f"{one.name}.png"
            private_folder(self.folder)
            write_picture(one.written, found)

    def slice(self, one: Found) -> Dataset:
        """Open a DICOM image; what identifies a patient is counted even if the image is refused."""
        header = dicom.read_header(one.path)
        with quiet():
            findings = inspect(header)
            one.identity = identity(header, self.salt)
            uid = text(header, "SeriesInstanceUID")
            one.slice = Slice(
                self.salt.name("series", uid) if uid else "",
                numbers(header, "ImagePositionPatient"),
                numbers(header, "ImageOrientationPatient"),
                number(header, "GantryDetectorTilt"),
                findings,
                text(header, "Modality").upper(),
            )
            dicom.refuse(header)
            if findings.burned_in == "YES" and not self.allow_burned_in:
                raise ImageRefused("its header says that writing is burned into the pixels")
            stored = dicom.stored_values(header)
            pixels = display.shown(header, stored, self.intensity)
            one.spacing, one.window = spacing(header), display.header_window(header)
            width, height, *channels = pixels.shape
            shape = (channels[0] if channels else 1, width, height)
            one.measure(pixels, shape, *display.measured_range(header, stored))
        return header
