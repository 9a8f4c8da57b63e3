"""A site's own list with wholes: classes of other sites of which several classes of the list are the parts.

A site that tells promyelocytes, myelocytes and metamyelocytes apart has no class of immature granulocytes,
and yet all images of one. That its three are all that the class means is for the site to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import ClassLabel, LabelSpace, SiteClass

_FIX = "list under 'merges' two or more of your own classes, by the names that 'classes' has"


class SiteList(LabelSpace):
    """A site's list of classes, and the wholes that it declares.

    Args:
        classes: as for ``LabelSpace``.
        wholes: each merges two or more of the classes, which are all its parts.

    Raises:
        InputError: as for ``LabelSpace``; or a whole's parts are no classes of the list, or it is itself one.

    >>> cells = SiteList(["band", "segmented", "platelet"],
    ...                  [SiteClass(name="neutrophil", merges=("band", "segmented"))])
    >>> cells.places(ClassLabel(name="Neutrophil")), cells.places(ClassLabel(name="band"))
    ((0, 1), (0,))
    """

    def __init__(
        self, classes: Iterable[Any], wholes: Sequence[SiteClass] = (), *, where: str = "classes"
    ) -> None:
        super().__init__(classes, where=where)
        self.wholes = LabelSpace(wholes, where="wholes") if wholes else None
        self._parts = [self._of(whole) for whole in wholes]

    def places(self, label: ClassLabel) -> tuple[int, ...]:
        found = super().places(label)
        whole = self.wholes.find(label, parts=False) if self.wholes else None
        if whole is None:
            return found
        if found:
            parts = ", ".join(self.names_of(self._parts[whole]))
            raise InputError(
                f"{label} could be {self.classes[found[0]]}, or all of {parts}",
                where="wholes",
                fix="give the classes different names, or use codes everywhere",
            )
        return self._parts[whole]

    def _of(self, whole: SiteClass) -> tuple[int, ...]:
        """The positions of its parts."""
        known = next((m for m in whole.itself if self.find(m) is not None), None)
        if known is not None:
            raise InputError(
                f"'{whole.name}' is a class of the list, or a part of one: {known}",
                where="wholes",
                fix="a whole is a class that 'classes' does not have; take it out of one of the two",
            )
        places = [self.find(part, parts=False) for part in whole.merges]
        for part, place in zip(whole.merges, places, strict=True):
            if place is None:
                raise InputError(f"{part}, a part of '{whole.name}', is not listed", where="wholes", fix=_FIX)
        if len(set(places)) < max(2, len(places)):
            raise InputError(f"'{whole.name}' has no two different parts", where="wholes", fix=_FIX)
        return tuple(place for place in places if place is not None)
