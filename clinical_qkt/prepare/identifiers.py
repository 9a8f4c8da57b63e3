"""Which attributes of a DICOM header identify a patient, counted; no value is kept.

The list, but for TextValue, is a part of the Basic Application Level Confidentiality Profile, DICOM PS3.15
table E.1-1. This checks and reports. It does not de-identify, and a header without findings is not thereby
anonymous.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom import DataElement, Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.tag import BaseTag

from clinical_qkt.data.headers import text

CHECKED: dict[str, tuple[str, ...]] = {
    "the patient": (
        "PatientName", "PatientID", "IssuerOfPatientID", "OtherPatientIDs", "OtherPatientIDsSequence",
        "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "PatientBirthDate",
        "PatientBirthTime", "PatientAddress", "PatientTelephoneNumbers", "PatientTelecomInformation",
        "CountryOfResidence", "RegionOfResidence", "MilitaryRank", "BranchOfService", "EthnicGroup",
        "Occupation", "PatientReligiousPreference", "PatientInsurancePlanCodeSequence",
        "MedicalRecordLocator", "ResponsiblePerson", "ResponsibleOrganization",
    ),
    "the patient's traits": (
        "PatientAge", "PatientSex", "PatientSize", "PatientWeight", "PatientState", "PregnancyStatus",
        "SmokingStatus", "LastMenstrualDate", "MedicalAlerts", "Allergies", "SpecialNeeds",
    ),
    "people at the hospital": (
        "ReferringPhysicianName", "ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers",
        "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "PhysiciansOfRecord", "OperatorsName",
        "RequestingPhysician", "ConsultingPhysicianName", "ScheduledPerformingPhysicianName",
        "VerifyingObserverName", "ContentCreatorName", "PersonName", "ReviewerName",
    ),
    "the place and its devices": (
        "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "InstitutionCodeSequence",
        "StationName", "PerformedStationAETitle", "PerformedStationName", "ScheduledStationName",
        "DeviceSerialNumber", "DetectorID", "GantryID", "PlateID", "CassetteID", "RequestingService",
        "CurrentPatientLocation",
    ),
    "numbers of the visit": (
        "AccessionNumber", "StudyID", "AdmissionID", "ServiceEpisodeID", "RequestedProcedureID",
        "ScheduledProcedureStepID", "PerformedProcedureStepID", "PlacerOrderNumberImagingServiceRequest",
        "FillerOrderNumberImagingServiceRequest", "RequestAttributesSequence",
    ),
    "unique identifiers": (
        "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID",
        "ReferencedSOPInstanceUID", "DeviceUID",
    ),
    "dates and times": (
        "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "StudyTime", "SeriesTime",
        "AcquisitionTime", "ContentTime", "AcquisitionDateTime", "InstanceCreationDate", "AdmittingDate",
        "PerformedProcedureStepStartDate", "ScheduledProcedureStepStartDate", "DateOfLastCalibration",
    ),
    "free text": (
        "StudyDescription", "SeriesDescription", "ProtocolName", "ImageComments", "PatientComments",
        "StudyComments", "AcquisitionComments", "AdditionalPatientHistory", "AdmittingDiagnosesDescription",
        "ReasonForStudy", "RequestedProcedureDescription", "PerformedProcedureStepDescription",
        "DerivationDescription", "TextValue", "TextComments",
    ),
    "pictures in the header": ("IconImageSequence", "GraphicAnnotationSequence", "OverlayData"),
}  # fmt: skip
"""What is looked for, by kind: keywords of the data dictionary."""

KEYWORDS = {keyword: kind for kind, keywords in CHECKED.items() for keyword in keywords}
DEEPEST = 20
"""Sequences are followed to this depth; a real header has two or three."""


@dataclass
class Findings:
    """What one header holds.

    Attributes:
        identifying: how often each checked attribute occurs with a value, sequences included.
        private: how many private attributes there are, which may hold anything.
        burned_in: Burned In Annotation (PS3.3, section C.7.6.1): ``"YES"``, ``"NO"`` or empty if not said.
        removed: Patient Identity Removed (C.7.1.1), likewise.
    """

    identifying: Counter[str] = field(default_factory=Counter)
    private: int = 0
    burned_in: str = ""
    removed: str = ""


def inspect(header: Dataset) -> Findings:
    """Look through a header; call it within ``headers.quiet``."""
    found = Findings()
    for tag, keyword in _attributes(header, 0):
        if tag.is_private:
            found.private += 1
        elif keyword in KEYWORDS:
            found.identifying[keyword] += 1
    found.burned_in, found.removed = (
        _yes_no(header, "BurnedInAnnotation"),
        _yes_no(header, "PatientIdentityRemoved"),
    )
    return found


def _attributes(header: Dataset, depth: int) -> Iterator[tuple[BaseTag, str]]:
    """Tags and keywords of attributes with a value, those in sequences included."""
    for tag in list(header.keys()):
        try:
            element = header.get_item(tag, keep_deferred=True) if tag.group == 0x7FE0 else header[tag]
        except Exception:  # a damaged value counts as one, since nobody knows what it holds
            yield tag, keyword_for_tag(tag)
            continue
        if element is None or element.value in (None, "", b"") or getattr(element, "is_empty", False):
            continue
        yield tag, keyword_for_tag(tag)
        if isinstance(element, DataElement) and element.VR == "SQ" and depth < DEEPEST:
            for item in element.value:
                yield from _attributes(item, depth + 1)


def _yes_no(header: Dataset, keyword: str) -> str:
    """Anything but the two defined terms is not repeated."""
    found = text(header, keyword).upper()
    return found if found in ("YES", "NO") else ""
