"""What keeps exact responses from being subtracted from each other: how many, and of which images.

An exact response has no noise. Two of nearly the same patients, or two of the same patients through networks
that the asker chose, can be subtracted, and what is left is about a few. So a site gives a limited number of
exact responses for a class, whoever asks, and none for images that are nearly those of an earlier one. The
same holds for classes that are only compared in an exact response for another class, whose mean is told then.
Of a class that was answered for as a part of a whole nothing exact is told apart, and of a whole nothing once
something was told of a part: what is left between them may be a few.
Nothing more is promised: from many responses over sets that are far apart, a few patients can still be
computed (Dobkin, Jones and Lipton, ACM TODS 1979).
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.core.terms import EXACT
from clinical_qkt.site.ledger.lines import apart

NO_MORE = "this site gives no further exact response for this class"
"""One reason for all: which of them it was would tell whether a few patients came or went."""
_SIZE = 8


@dataclass(frozen=True)
class Shown:
    """Which images an answer is made of, and whom they show.

    Attributes:
        patients: of each image, by the SHA-256 of its file. Files are looked at, not names: whatever a
            datalist calls them, the same images are the same.
    """

    patients: Mapping[str, str]

    @classmethod
    def of(cls, images: Iterable[tuple[Path, str]]) -> Shown:
        """From ``(file, patient)``."""
        return cls({content(path): patient for path, patient in images})

    @classmethod
    def together(cls, several: Iterable[Shown]) -> Shown:
        """Of images that are answered for as one."""
        return cls({image: whose for one in several for image, whose in one.patients.items()})

    def kept(self) -> bytes:
        """For the ledger: salted digests of image and patient, of which nobody can tell a name."""
        salt = secrets.token_bytes(_SIZE)
        pairs = sorted(_short(i, salt) + _short(p, salt) for i, p in self.patients.items())
        return salt + b"".join(pairs)

    def differs_from(self, kept: bytes) -> int:
        """How many patients have images in one of the two sets alone; at most, if names have changed."""
        salt, size = kept[:_SIZE], 2 * _SIZE
        before = {kept[k : k + size] for k in range(_SIZE, len(kept), size)}
        now = {_short(i, salt) + _short(p, salt) for i, p in self.patients.items()}
        images_before, images_now = ({pair[:_SIZE] for pair in pairs} for pairs in (before, now))
        only_before = {p[_SIZE:] for p in before if p[:_SIZE] not in images_now}
        only_now = {p[_SIZE:] for p in now if p[:_SIZE] not in images_before}
        return len(only_before | only_now)


def refused(
    earlier: Sequence[Mapping[str, Any]], own_class: str, shown: Shown, limit: int, minimum: int
) -> str | None:
    """Why there is no further exact response, or None.

    Args:
        earlier: the ledger's lines of exact responses to other questions, and of classes compared in them.
        own_class: the site's own name of the class, or names of a whole's parts, see ``lines.together``.
        limit: so many are given for a class, and for the same images whatever the class is called.
        minimum: sets that differ by fewer patients are nearly the same.
    """
    if nearly_told(earlier, own_class, shown, minimum):
        return NO_MORE
    alike = 0
    for line in (one for one in earlier if one["kind"] in EXACT):
        alike += _differ(line, shown) == 0 or _named(line).casefold() == own_class.casefold()
    return NO_MORE if alike >= limit else None


def nearly_told(earlier: Sequence[Mapping[str, Any]], own_class: str, shown: Shown, minimum: int) -> bool:
    """Whether something exact was told of nearly these patients, and not of just these; or of a part of the
    class, or of a whole that it is a part of."""
    found = (_differ(line, shown) for line in earlier)
    near = any(differ is not None and 0 < differ < minimum for differ in found)
    return near or any(_overlap(_named(line), own_class) for line in earlier)


def _named(line: Mapping[str, Any]) -> str:
    return str(line["own_class"] or line["class"])


def _overlap(one: str, other: str) -> bool:
    """Whether two answers are of different classes with a part in common.

    >>> _overlap("band\\nsegmented", "Band"), _overlap("band", "Band"), _overlap("band", "segmented")
    (True, False, False)
    """
    first, second = (set(apart(names.casefold())) for names in (one, other))
    return first != second and bool(first & second)


def _differ(line: Mapping[str, Any], shown: Shown) -> int | None:
    return None if line["images"] is None else shown.differs_from(line["images"])


def require_at_most(most: int | None, patients: Sequence[str]) -> None:
    """Refuse a policy that the datalist contradicts.

    Args:
        most: images of a class that show one patient, as the policy says.
        patients: of each image of a class.

    Raises:
        InputError: one has more.
    """
    if most is not None and patients and max(Counter(patients).values()) > most:
        raise InputError(
            f"a patient has more than {most} images of a class in the datalist",
            where="policy: images_per_patient",
            fix="write the highest number that any patient ever had, in earlier datalists too",
        )


def content(path: Path) -> str:
    """The SHA-256 of an image's file, or of all files of a series' folder."""
    if not path.is_dir():
        return sha256(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return hashlib.sha256("".join(sha256(p) for p in files).encode()).hexdigest()


def _short(text: str, salt: bytes) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=salt, digest_size=_SIZE).digest()
