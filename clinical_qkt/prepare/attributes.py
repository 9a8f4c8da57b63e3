"""Which attributes of a DICOM header may be labels: those that hold a short code, word or whole number.

A label becomes the name of a class, and that leaves the site with a model. The kinds of values are those of
DICOM PS3.5, section 6.2, as the data dictionary gives them.
"""

from __future__ import annotations

import re

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.class_names import shown
from clinical_qkt.prepare.identifiers import KEYWORDS

WORDS = ("CS", "SH", "LO", "UC")
NUMBERS = ("IS", "US", "SS", "UL", "SL", "UV", "SV")
REASONS = {
    "PN": "holds a person's name",
    "DA": "holds a date",
    "TM": "holds a time",
    "DT": "holds a date and a time",
    "AS": "holds an age",
    "UI": "holds an identifier",
    "AE": "names a device",
    "UR": "holds an address",
    "AT": "holds a tag",
    "SQ": "holds a sequence of items",
    **dict.fromkeys(("LT", "ST", "UT"), "holds free text"),
    **dict.fromkeys(("DS", "FL", "FD"), "holds a measured number, so every value would be a class"),
}
"""Why values of a kind are no labels; those that are not here and not above are binary."""
_TELLS = re.compile(
    r"(IDs?|Identifier|Identification|SerialNumber|PhoneNumbers?|Address|Comments?|Description|Location)$"
    r"|^(Issuer|IssuerOf|Institution|ResponsiblePerson|InsurancePlan)"
)
"""Names of texts that hold an identifier, a place or what somebody wrote."""
FIX = "write the labels into a CSV file"


def refuse_attribute(keyword: str, where: str) -> None:
    """Refuse what is no label.

    Raises:
        InputError: there is no such attribute, or it may identify somebody, or holds no short word.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise InputError(
            f"{shown(keyword)} is no keyword of a DICOM attribute",
            where=where,
            fix="give 'folder', a CSV file, or a keyword such as BodyPartExamined or Modality",
        )
    kinds = dictionary_VR(tag).split(" or ")
    if keyword in KEYWORDS or ("PN" not in kinds and set(kinds) & set(WORDS) and _TELLS.search(keyword)):
        raise InputError(
            f"{keyword} can identify a patient, and labels leave the site with a model", where=where, fix=FIX
        )
    refused = [kind for kind in kinds if kind not in (*WORDS, *NUMBERS)]
    if refused:
        reason = REASONS.get(refused[0], "holds binary data")
        raise InputError(f"{keyword} {reason}, which is no label", where=where, fix=FIX)
    least = dictionary_VM(tag).partition("-")[0]
    if least != "1":
        raise InputError(
            f"{keyword} always holds several values, and a class has one name", where=where, fix=FIX
        )
