"""Teachers that see the student's images in their own looks, as the product shows them."""

from __future__ import annotations

from dataclasses import replace

from clinical_qkt.qkt.teacher_looks import OwnLooks, in_own_looks
from clinical_qkt.research.methods.case import Case, CaseImages

KEY = "seen by teachers"


def in_their_looks(case: Case) -> Case:
    """The case with teachers of whom those whose images look different see the student's in their own look.

    Where none does, it is the very case that was given. What it computes of teachers is kept for all methods.
    """
    if KEY not in case.kept:
        own = OwnLooks(CaseImages(case), case.labels, case.own.card.input)
        teachers = in_own_looks(case.teachers, own, case.labels)
        mapped = any(t.look is not None and t.look.mapped for t in teachers)
        case.kept[KEY] = replace(case, teachers=teachers) if mapped else case
    found: Case = case.kept[KEY]
    return found
