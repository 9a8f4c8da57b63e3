"""What a person may write beside an image: a class of the list, or one of two words that count."""

from __future__ import annotations

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.data.class_names import fold, shown
from clinical_qkt.data.label_space import LabelSpace

NONE, UNUSABLE = "none of these", "not usable"
"""An image of no class of the list; an image that nobody can name."""


def allowed(classes: LabelSpace) -> list[str]:
    """Every word that may be written.

    Raises:
        InputError: a class is called like one of the two words.
    """
    for name in classes.names:
        if fold(name) in (NONE, UNUSABLE):
            raise InputError(
                f"a class is called {shown(name)}, which has a meaning of its own in a list to label",
                where="classes",
                fix="give the class another name",
            )
    return [*classes.names, NONE, UNUSABLE]


def read(word: str, classes: LabelSpace, where: str) -> str:
    """The class or the word that was meant, as the list spells it.

    Raises:
        InputError: it is neither; names the likeliest.
    """
    if fold(word) in (NONE, UNUSABLE):
        return fold(word)
    try:
        found = classes.find(word)
    except InputError as e:
        raise InputError(e.problem, where=where, fix=e.fix) from None
    if found is None:
        known = allowed(classes)
        raise InputError(f"{shown(word)} is no class of the list", where=where, fix=one_of(word, known))
    return classes.names[found]
