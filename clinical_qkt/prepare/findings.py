"""What is kept of each image that ``prepare`` opens: facts, never pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clinical_qkt.data.datalist import Section
from clinical_qkt.data.formats import Kind
from clinical_qkt.prepare.identifiers import Findings

Array = np.ndarray[Any, Any]
PatientFrom = Literal["table", "header", "study", "image"]


@dataclass
class Slice:
    """Where a DICOM image lies, and what its header holds.

    Attributes:
        series: salted name of its series; empty if the header names none.
        position, orientation: Image Position and Orientation (Patient); empty if absent.
        tilt: Gantry/Detector Tilt in degrees, as the header says it.
        modality: as the header says it; empty if absent.
    """

    series: str
    position: list[float]
    orientation: list[float]
    tilt: float | None
    findings: Findings
    modality: str = ""


@dataclass(frozen=True)
class Identity:
    """Salted names of what may tell a patient; each is empty where nothing is said.

    Attributes:
        patient: of the PatientID alone.
        issued: of the PatientID with its issuer.
        study: of the StudyInstanceUID.
        table: of the patient in the table of labels, made as ``patient`` is.
        sought: of all forms in which the patient's name and number may stand in a text, see ``identifiers``.
    """

    patient: str = ""
    issued: str = ""
    study: str = ""
    table: str = ""
    sought: frozenset[str] = frozenset()


@dataclass
class Found:
    """One image, or one file that is none.

    Attributes:
        name: salted hash of its path; it stands for the file in everything that is written.
        path: of the original. Stays in memory and in ``local/``.
        reason: why it is left out; empty if it is not.
        duplicate: whether that is because it shows the same as another image.
        fix: what to do about the reason, where that is not to copy the file again.
        readable: whether it could be decoded.
        patient: salted hash; ``patient_from`` says what it was made of.
        identity: what the patient can be told by.
        groups: columns and values by which results are told apart.
        section: where the source says it.
        shape: channels, then sizes in MONAI's order.
        spacing: mm along each axis; None if not known.
        window: lowest and highest value of the header's first window; None without one.
        read_as: how a picture's values became brightness, where that needed more than decoding 8 bits.
        low, high: range of the values, before any window and as they are written for volumes.
        digest: of the decoded pixels.
        blank: whether all of them are the same.
        written: the file that was made of it, where one was.
    """

    name: str
    path: Path
    kind: Kind
    reason: str = ""
    duplicate: bool = False
    fix: str = ""
    readable: bool = True
    label: str = ""
    patient: str = ""
    patient_from: PatientFrom = "image"
    identity: Identity = Identity()
    groups: tuple[tuple[str, str], ...] = ()
    section: Section | None = None
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None
    window: tuple[float, float] | None = None
    read_as: str = ""
    low: float = 0.0
    high: float = 0.0
    digest: str = ""
    blank: bool = False
    slice: Slice | None = None
    written: Path | None = None

    def measure(self, pixels: Array, shape: tuple[int, ...], low: float, high: float) -> None:
        """Note what is to be known of decoded pixels."""
        self.shape, self.low, self.high = shape, low, high
        self.digest = digest(pixels)
        self.blank = bool(pixels.min() == pixels.max())


def digest(pixels: Array) -> str:
    """The same for the same decoded pixels in the same shape, whatever the file."""
    content = hashlib.blake2b(repr((pixels.shape, pixels.dtype.str)).encode(), digest_size=16)
    content.update(np.ascontiguousarray(pixels).tobytes())
    return content.hexdigest()
