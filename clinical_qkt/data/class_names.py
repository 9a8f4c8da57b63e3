"""What a class may be called, and which two names are one name in two spellings.

The rule is written down with examples in ``docs/how-to/match-label-lists.md``; a test reads that table.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from clinical_qkt.core.errors import InputError

LONGEST = 100
"""Characters of a class name, at most."""
SHOWN = 40
"""Characters of a name that an error shows."""
_MINUS = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u207b\u208b\ufe58\ufe63\uff0d"
_PLUS = "\u207a\u208a\ufe62\uff0b"
_SIGNS = str.maketrans({**dict.fromkeys(_MINUS, "-"), **dict.fromkeys(_PLUS, "+")})
_BLANKS = re.compile(r"[\s_]+")
_DASH = re.compile(r"( -+ )|(-+)")
_BEFORE_SIGN = re.compile(r" (?=[-+][-+ ]*(?:$|[^\w\-+ ]))")
_UNSHOWN = ("Cc", "Cs", "Zl", "Zp")
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make what follows run the other way, so that a name is not what it looks like."""


@lru_cache(maxsize=10_000)
def fold(name: str) -> str:
    """The form in which names are compared.

    Case, blanks, underscores and dashes between two words are spelling. Any other dash is a sign and is
    kept, as ``+`` always is; blanks before a sign that ends a word do not matter.

    >>> fold("Immature_Granulocytes") == fold("immature  granulocytes") == fold("Immature-granulocytes")
    True
    >>> fold("HER2-") == fold("HER2")
    False
    """
    caseless = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    spaced = _BLANKS.sub(" ", caseless.translate(_SIGNS)).strip()
    return _BEFORE_SIGN.sub("", _DASH.sub(_between_words, spaced))


def _between_words(dash: re.Match[str]) -> str:
    """A blank for a dash between two words, else the dash as it is."""
    before, after = dash.string[: dash.start()][-1:], dash.string[dash.end() :][:1]
    return " " if _in_word(before, "LNM") and _in_word(after, "LN") else dash[0]


def _in_word(character: str, kinds: str) -> bool:
    """Whether it is a letter, a number or, within a word, a mark on one."""
    return bool(character) and unicodedata.category(character)[0] in kinds


def shown(name: Any) -> str:
    """A name in quotes as an error may show it: not endless, and with escapes for what cannot be shown.

    >>> shown("a" + chr(9) + "b")
    "'a\\\\tb'"
    """
    text = str(name)
    short = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    return "'" + "".join(c if c.isprintable() else _escaped(c) for c in short) + "'"


def in_words(names: Iterable[str]) -> str:
    """A list for people.

    >>> in_words(["training", "validation", "test"])
    'training, validation and test'
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _escaped(character: str) -> str:
    # A byte of a file name that is no UTF-8 is held as a lone surrogate; the byte is what people know.
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else repr(character)[1:-1]


def name_problem(name: Any) -> str | None:
    """Why this is no class name, in one sentence; None if it is one."""
    if not isinstance(name, str):
        return f"{shown(name)[1:-1]} is no text, as the name of a class has to be; put it into quotes"
    if not name.strip():
        return "the name of a class is empty"
    if any(unicodedata.category(c) == "Cs" for c in name):
        return f"{shown(name)} is not UTF-8, as the name of a class has to be"
    if any(unicodedata.category(c) in _UNSHOWN or c in _TURNS for c in name):
        return f"{shown(name)} has control characters (such as tabs or line ends), which a class name may not"
    if len(name) > LONGEST:
        return f"{shown(name)} has {len(name)} characters; a class name has {LONGEST} at most"
    if not any(c.isalnum() for c in name):
        return f"{shown(name)} is no class name: one needs at least one letter or digit"
    return None


def require_plain(names: Iterable[str], where: str) -> None:
    """Refuse class names that MONAI would evaluate or look up instead of reading them.

    Raises:
        InputError: names the class.
    """
    for name in names:
        if name.lstrip()[:1] in ("$", "@", "%") or re.search("[@%]#", name):
            raise InputError(
                f"the name of class {shown(name)} is an expression in MONAI's files, where it has to stand",
                where=where,
                fix="rename the class: a name begins with neither $ nor @ nor %",
            )
