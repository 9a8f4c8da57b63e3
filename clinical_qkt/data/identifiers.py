"""Whether a text names a patient or an image file: one normal form for both sides.

What is looked for, and what is too common to be, is told in docs/explanation/security.md, "Identifiers".
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from clinical_qkt.data.formats import suffix_of

SHORTEST = 4
"""Letters and digits: a name with fewer is too common in ordinary words to be looked for."""
MOST_WORDS = 24
"""Words of a text that may together be one name."""
YEARS = range(1900, 2100)
"""A number of these, alone, is taken for a year."""
COUNTED, DENSE = 20, 1 / 20
"""So many numbers or more, of which so large a share of those between the lowest and the highest is there,
number files and name nobody."""
PLACES = 3
"""A name that images bear in more places is none of a patient's, where patients are not named."""
COMMON = frozenset((
    "cases", "class", "classes", "data", "dataset", "datasets", "dicom", "display", "files", "healthy",
    "image", "images", "input", "label", "labels", "mask", "masks", "negative", "nifti", "normal",
    "original", "originals", "output", "patient", "patients", "photo", "photos", "picture", "pictures",
    "positive", "scan", "scans", "series", "slide", "slides", "studies", "study", "test", "testing",
    "train", "training", "valid", "validation", "volume", "volumes",
))  # fmt: skip
"""What folders and files are called whoever is in them."""

_WIDE = "\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts that put no blanks between words; a letter of theirs says as much as two."""
_WORD = re.compile(rf"[0-9]+|[{_WIDE}]|[^\W\d_{_WIDE}]+")
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters of Hangul that show nothing."""
_ZEROS = re.compile(r"(?<![0-9])0+(?=[1-9][0-9]{3})")


def normal(text: str) -> str:
    """The form in which names are compared: letters and digits alone.

    Case, accents, characters without width, full-width and other forms of one character, blanks and
    punctuation are spelling; so are zeros before a number of four digits or more.

    >>> normal("MRN-04711") == normal("mrn 4711") == normal("ＭＲＮ４７１１") == "mrn4711"
    True
    """
    return _joined(words(text))


def words(text: str) -> list[str]:
    """Runs of letters and runs of digits, in the plain form of each character.

    A character that is not seen parts two words: whether it does makes no difference to ``normal``.

    >>> words("MRN4711, Müller")
    ['mrn', '4711', 'muller']
    """
    if text.isascii():
        return _WORD.findall(text.lower())
    plain = _plain(_plain(text))  # lower case can bring forth what has a plainer form still
    return _WORD.findall("".join(str(unicodedata.decimal(c, c)) for c in plain))


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = (c for c in apart if unicodedata.category(c) not in ("Mn", "Me"))
    seen = (" " if c in _FILLERS or unicodedata.category(c) == "Cf" else c for c in bare)
    return unicodedata.normalize("NFKC", "".join(seen))


def _joined(parts: Iterable[str]) -> str:
    return _ZEROS.sub("", "".join(parts))


def _weight(name: str) -> int:
    return len(name) + len(re.findall(rf"[{_WIDE}]", name))


def _tells(name: str) -> bool:
    return _weight(name) >= SHORTEST and not _is_year(name)


def _is_year(name: str) -> bool:
    return len(name) == 4 and name.isdecimal() and int(name) in YEARS


def _number(name: str) -> str:
    """The one number of a name, where it has one alone that can stand for it; else an empty text."""
    found = re.findall(r"[0-9]+", name)
    tells = len(found) == 1 and len(found[0]) >= SHORTEST and found[0][0] != "0" and not _is_year(found[0])
    return found[0] if tells else ""


@dataclass
class Bearers:
    """Whose images bear a name in their paths.

    Attributes:
        patients: that the datalist names.
        places: files and folders.
    """

    patients: set[str] = field(default_factory=set)
    places: set[str] = field(default_factory=set)

    def note(self, shown: Iterable[str | None], place: str) -> None:
        """Add images at a place, by whom they show."""
        self.patients |= {who for who in shown if who}
        self.places.add(place)

    @property
    def one(self) -> bool:
        """Whether it may be one patient's."""
        return len(self.patients) == 1 if self.patients else len(self.places) <= PLACES


class Identifiers:
    """What names the patients and the images of a site.

    Args:
        listed: path and patient of each image, as the datalist names them; None where it names no patient.
        classes: names of the site's classes; folders may be called so.
        hidden: tells of a normal form whether it is that of a name which is kept in no readable form.
    """

    def __init__(
        self,
        listed: Iterable[tuple[str, str | None]],
        classes: Iterable[str] = (),
        hidden: Callable[[str], bool] = lambda form: False,
    ) -> None:
        images, self.hidden = list(listed), hidden
        people = {who for _, who in images if who}
        usual = COMMON | {normal(name) for name in classes}
        found = {n for who in people for n in _of_person(who)} | _numbers({normal(who) for who in people})
        for names in _paths(images):
            kept = {n for n, bearers in names.items() if bearers.one} - usual
            found |= _told_apart(kept) | _numbers(kept)
        self.sought = {n for n in found if _tells(n)}

    def named_in(self, text: str) -> bool:
        """Whether a text holds one of the names: between two words, in whatever spelling."""
        return any(w in self.sought or (_tells(w) and self.hidden(w)) for w in _windows(words(text)))


def forms(name: str) -> set[str]:
    """How a patient's name may stand in a text, in normal form; what is too common is left out.

    For names that are kept in no readable form: a number stands for its name from five digits on, since it
    cannot be told whether shorter ones count patients through.
    """
    number = _number(normal(name))
    found = {*_of_person(name), number if len(number) > SHORTEST else ""}
    return {n for n in found if _tells(n)}


def _windows(parts: list[str]) -> Iterator[str]:
    """Every run of words as one name."""
    for start in range(len(parts)):
        for end in range(start + 1, min(start + MOST_WORDS, len(parts)) + 1):
            yield _joined(parts[start:end])


def _of_person(name: str) -> Iterator[str]:
    """A patient's name, and with the family name last, as people say it."""
    parts = words(name)
    yield _joined(parts)
    if len(parts) > 1 and not any(p.isdecimal() for p in parts):
        yield _joined([*parts[1:], parts[0]])


def _paths(images: Sequence[tuple[str, str | None]]) -> Iterator[Mapping[str, Bearers]]:
    """Names of files, and of the folders that lead to them, with those whose images bear them."""
    of_files, of_folders = defaultdict[str, Bearers](Bearers), defaultdict[str, Bearers](Bearers)
    below: dict[PurePath, list[str | None]] = defaultdict(list)
    for file, who in images:
        path = PurePath(file)
        for parent in path.parents:
            below[parent].append(who)
        for name in {normal(n) for n in _stems(path)}:
            of_files[name].note([who], file)
    for folder, shown in below.items():
        if any(shown) or len(shown) * 2 <= len(images):  # one that holds most of them is no patient's
            of_folders[normal(folder.name)].note(shown, str(folder))
    yield from (of_files, of_folders)


def _stems(path: PurePath) -> set[str]:
    """A file's name without its ending; of an ending that is no image's nobody knows whether it is one."""
    suffix = suffix_of(Path(path))
    return {path.name[: -len(suffix)]} if suffix else {path.name, path.stem}


def _told_apart(names: set[str]) -> set[str]:
    """All but bare numbers that count files through."""
    bare = {n for n in names if n.isdecimal()}
    return names - bare if _counts(bare) else names


def _numbers(names: set[str]) -> set[str]:
    """The numbers by which names can be told: of MRN-4711 its 4711, but none that counts names through."""
    alike: dict[str, set[str]] = defaultdict(set)
    for name in names:
        if number := _number(name):
            alike[name.replace(number, "#")].add(number)
    return {number for numbers in alike.values() if not _counts(numbers) for number in numbers}


def _counts(numbers: set[str]) -> bool:
    found = [int(n) for n in numbers]
    return len(found) >= COUNTED and len(found) >= DENSE * (max(found) - min(found) + 1)
