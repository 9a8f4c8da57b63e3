"""What labels and names of patients may be in tables, arrays and lists, whoever wrote them.

Spreadsheets, R and pandas leave marks for missing values, which are no classes and no patients; and what is
typed by hand or went through a spreadsheet has several spellings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_NO_VALUE = re.compile(r"-?nan|<na>|n/a|#n/?a( n/a)?|#nv|#[a-z/0]+[!?]|null|(?-i:NA|None)", re.IGNORECASE)
"""A class may be called none, and hardly None."""
_PATIENT = re.compile(r"(patient|subject|case|person|pt|mrn|pid)s?(no|nr|id|ids|name|names|number|uid|key)?")


def is_missing(word: str) -> bool:
    """Whether it is a mark for a value that is missing or wrong.

    >>> is_missing("NaN"), is_missing("N/A"), is_missing("none")
    (True, True, False)
    """
    return bool(_NO_VALUE.fullmatch(word.strip()))


def one_spelling(name: str) -> str:
    """A patient's name without what spreadsheets and typists change.

    More than in ``identifiers.normal`` tells two patients apart here: 1-23 is not 12-3.

    >>> one_spelling("P 007"), one_spelling("p007"), one_spelling("007")
    ('p007', 'p007', '7')
    """
    seen = "".join(c for c in name if unicodedata.category(c) != "Cf")  # some blanks have no width
    plain = "".join(unicodedata.normalize("NFKC", seen).casefold().split())
    return plain.lstrip("0") if plain.isdecimal() else plain


def patient_like(names: Iterable[str]) -> str | None:
    """The first name of a column, key or array that is likely to tell patients; None if none is.

    >>> patient_like(["file", "Patient ID"]), patient_like(["file", "label"])
    ('Patient ID', None)
    """
    return next((n for n in names if _PATIENT.fullmatch(re.sub(r"[\s_\-.]", "", n).lower())), None)
