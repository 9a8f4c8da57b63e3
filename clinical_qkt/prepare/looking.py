"""Opening files, one kind a class: what is found in each goes into a ``Found``, refusals included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
from PIL import Image
from pydicom import Dataset

from clinical_qkt.data import dicom, display
from clinical_qkt.data.formats import ImageRefused, kind_of
from clinical_qkt.data.headers import number, numbers, quiet, spacing, text
from clinical_qkt.prepare.found import Found, Slice
from clinical_qkt.prepare.identifiers import inspect
from clinical_qkt.prepare.labelling import Label, Labelling
from clinical_qkt.prepare.salt import Salt

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
