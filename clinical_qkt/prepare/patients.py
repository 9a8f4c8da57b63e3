"""Whom an image shows, as far as its table and its header tell, and who of them are one person.

Identifiers are turned into salted names at once; what is compared and kept are these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Literal

from pydicom import Dataset

from clinical_qkt.data.headers import PADDING, quiet, text
from clinical_qkt.data.identifiers import forms
from clinical_qkt.prepare.findings import Found, Identity, PatientFrom
from clinical_qkt.prepare.labelling import Label
from clinical_qkt.prepare.pseudonyms import Salt

Weak = Literal["header", "study"]
SURER: dict[Weak, tuple[PatientFrom, ...]] = {"header": ("table",), "study": ("table", "header")}
"""What names a patient more surely."""
REFUSED: dict[Weak, str] = {
    "header": "the table names no patient for it, and several for other files of its PatientID",
    "study": "names no patient, and other files of its study name several",
}


def identity(header: Dataset, salt: Salt) -> Identity:
    """Salted names of what a header says of its patient (PS3.3, section C.7.1.1) and its study."""
    with quiet():
        patient, issuer, study, called = (
            text(header, keyword).strip(PADDING)
            for keyword in ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "PatientName")
        )
    return Identity(
        patient=salt.name("patient", "", patient) if patient else "",
        issued=salt.name("patient", issuer, patient) if patient and issuer else "",
        study=salt.name("study", study) if study else "",
        sought=_sought(salt, patient, called),
    )


def _sought(salt: Salt, *names: str) -> frozenset[str]:
    return frozenset(salt.name("sought", form) for name in names if name for form in forms(name))


def names_of_one(found: Sequence[Found]) -> set[str]:
    """Salted forms of names that are one patient's; what several bear, such as ANONYMOUS, is nobody's."""
    bearers: dict[str, set[str]] = defaultdict(set)
    for one in found:
        for form in one.identity.sought:
            bearers[form].add(one.patient)
    return {form for form, patients in bearers.items() if len(patients) == 1}


def name_patient(one: Found, file: PurePath, salt: Salt, label: Label) -> None:
    """Whom an image shows: as the table says, else its header, else its study; ``settle`` comes after.

    The groups that the table tells of it are noted, too.
    """
    known, one.groups = one.identity, label.groups
    if given := label.patient.strip(PADDING):
        sought = known.sought | _sought(salt, given)
        one.identity = replace(known, table=salt.name("patient", "", given), sought=sought)
        one.patient, one.patient_from = one.identity.table, "table"
    elif known.patient:
        one.patient, one.patient_from = known.issued or known.patient, "header"
    elif known.study:
        one.patient, one.patient_from = known.study, "study"
    else:
        one.patient = salt.name("image", file.as_posix())


def settle(found: Sequence[Found]) -> list[str]:
    """Let everything that may be one patient count as one, over all files.

    An identifier without an issuer could be that of any issuer. What names a patient less surely follows what
    names it more surely: a header follows the table that names the patient of the same PatientID elsewhere,
    an image without a PatientID follows the other images of its study. Where these name several patients the
    image is left out, since it could be in the wrong section.

    Args:
        found: all files, with those that were refused: their headers count, too.

    Returns:
        What was decided, in words with counts.
    """
    for one in found:
        if not one.patient and one.identity.patient:
            one.patient, one.patient_from = one.identity.issued or one.identity.patient, "header"
    issuers = _issuers(found)
    joined = {patient for patient, issued in issuers.items() if "" in issued}

    def of_header(one: Found) -> str:
        return one.identity.patient if one.identity.patient in joined else one.identity.issued

    for one in found:
        if one.patient_from == "header":
            one.patient = of_header(one)
    tables = _follow(found, "header", of_header)
    studies = _follow(found, "study", lambda one: one.identity.study)
    return list(_told(sum(len(issuers[patient]) > 1 for patient in joined), tables, studies))


def _issuers(found: Sequence[Found]) -> dict[str, set[str]]:
    """With which issuers each PatientID is given, and whether without one: as an empty text."""
    issuers: dict[str, set[str]] = defaultdict(set)
    for one in found:
        if one.identity.patient:
            issuers[one.identity.patient].add(one.identity.issued)
        if one.identity.table:
            issuers[one.identity.table].add("")
    return issuers


def _follow(found: Sequence[Found], weak: Weak, by: Callable[[Found], str]) -> int:
    """Give images whose patient is known less surely that of the surer ones that agree with them.

    Args:
        weak: by what the patient of the images was told.
        by: what these and the others have in common.

    Returns:
        How many images follow.
    """
    named: dict[str, dict[str, Found]] = defaultdict(dict)
    for one in found:
        if one.patient_from in SURER[weak] and by(one):
            named[by(one)].setdefault(one.patient, one)
    followed = 0
    for one in found:
        others = list(named.get(by(one), {}).values()) if one.patient_from == weak else []
        if len(others) > 1:
            one.reason = one.reason or REFUSED[weak]
        elif others:
            followed += not one.reason
            one.patient, one.patient_from = others[0].patient, others[0].patient_from
    return followed


def _told(joined: int, tables: int, studies: int) -> Iterator[str]:
    if joined:
        yield (
            f"{joined} {'patient is' if joined == 1 else 'patients are'} named with and without an "
            "IssuerOfPatientID: files of one PatientID count as one patient"
        )
    if tables:
        yield (
            f"{tables} images for which the table names no patient count for the one that it names elsewhere "
            "for their PatientID"
        )
    if studies:
        yield f"{studies} images without a PatientID count for the patient that others of their study name"
