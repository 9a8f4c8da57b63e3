"""No patient and no image is in two sections of a datalist, whoever made it: else a test tests nothing."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.class_names import in_words
from clinical_qkt.data.formats import kind_of
from clinical_qkt.data.headers import PADDING, quiet, text
from clinical_qkt.data.words import one_spelling

TAGS = ["PatientID", "IssuerOfPatientID"]
SECTION_NAMES = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
"""What people call the sections of their data."""


@dataclass(frozen=True)
class Listed:
    """One entry of a datalist.

    Attributes:
        at: where it stands, e.g. ``training[3]``.
        label: of its class, spelt alike in all entries.
        patient: as the list names it; empty if it does not.
    """

    section: str
    at: str
    file: Path
    label: str
    patient: str = ""


def refuse_leaks(listed: Sequence[Listed], where: str) -> None:
    """Look at a whole list before any of it is used. Nothing of a patient is repeated.

    Args:
        where: what an error should name.

    Raises:
        InputError: an image is in two sections or has two labels, or a patient is in two sections.
    """
    _refuse_images(listed, where)
    named = ((one_spelling(one.patient), one.section) for one in listed if one.patient)
    refuse_shared_patients(named, where)
    refuse_shared_patients(_of_headers([one for one in listed if not one.patient]), where)


def refuse_sections(folders: Collection[str], where: str) -> None:
    """Sections, which would be taken for classes.

    Args:
        folders: names of the sub-folders that are to be classes.

    Raises:
        InputError: all of them are called as sections are.
    """
    called = sorted(name for name in folders if name.lower() in SECTION_NAMES)
    if called and len(called) == len(folders):
        raise InputError(
            f"its sub-folders are called as sections are, not as classes: {in_words(called)}",
            where=where,
            fix="give a datalist, which keeps sections, or one folder with a sub-folder for each class",
        )


def refuse_shared_patients(seen: Iterable[tuple[str, str]], where: str) -> None:
    """
    Args:
        seen: patient and section of each image.

    Raises:
        InputError: patients are in more than one section; with how many, and in which.
    """
    sections: dict[str, dict[str, None]] = defaultdict(dict)
    for patient, section in seen:
        sections[patient][section] = None
    shared = Counter(in_words(held) for held in sections.values() if len(held) > 1)
    if shared:
        count = sum(shared.values())
        told = ", ".join(f"{number} in {held}" for held, number in shared.most_common())
        raise InputError(
            f"{count} {'patient is' if count == 1 else 'patients are'} in more than one section: {told}",
            where=where,
            fix="put all images of a patient into one section, or let `clinical-qkt prepare` deal them; "
            "where DICOM headers do not tell patients apart, name the 'patient' of each entry",
        )


def _refuse_images(listed: Sequence[Listed], where: str) -> None:
    first: dict[str, Listed] = {}
    problems: dict[str, tuple[int, str]] = {}
    for one in listed:
        other = first.setdefault(os.path.realpath(one.file), one)
        for what, differ in (
            ("in more than one section", other.section != one.section),
            ("listed with more than one label", other.label != one.label),
        ):
            if differ:
                count, places = problems.get(what, (0, f"{other.at} and {one.at}"))
                problems[what] = count + 1, places
    for what, (count, places) in problems.items():
        raise InputError(
            f"{count} {'image is' if count == 1 else 'images are'} {what}, the first at {places}",
            where=where,
            fix="list each image once",
        )


def _of_headers(listed: Sequence[Listed]) -> Iterable[tuple[str, str]]:
    """Patient and section of DICOM files; an identifier without an issuer could be that of any issuer."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for one in listed:
        if kind_of(one.file) == "dicom" and (identifier := _identifier(one.file)):
            found[identifier[0]].append((identifier[1], one.section))
    for number, seen in enumerate(found.values()):
        apart = all(issuer for issuer, _ in seen)
        yield from ((f"{number} {issuer}" if apart else str(number), section) for issuer, section in seen)


def _identifier(file: Path) -> tuple[str, str] | None:
    """PatientID and its issuer; None where there is none, or no header."""
    try:
        with quiet():
            header = dcmread(file, stop_before_pixels=True, specific_tags=list(TAGS))
            patient, issuer = (text(header, keyword).strip(PADDING) for keyword in TAGS)
    except Exception:  # arbitrary bytes can raise anything; whoever opens the image will refuse it
        return None
    return (patient, issuer) if patient else None
