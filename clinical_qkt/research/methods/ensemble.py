"""Ensembles: the models themselves, asked together at inference.

Nothing is distilled, so that every model has to stay at the student's site for good, and each prediction
costs as much as all of them. ``masked`` takes only the relevant teachers, and each only for the classes that
its knowledge mask covers.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.core.values import Strict
from clinical_qkt.qkt.targets import aligned
from clinical_qkt.qkt.teachers import relevant_teachers
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.seen_by_teachers import in_their_looks
from clinical_qkt.training.inference import Images


class Settings(Strict):
    """
    Attributes:
        masked: only relevant teachers, only for what they know.
        harmonise: each teacher sees the student's images in its own look.
    """

    masked: bool = False
    harmonise: bool = Field(default=False, exclude_if=lambda harmonise: not harmonise)


@method("ensemble", family="ensemble")
def run(case: Case, settings: Settings) -> Outcome:
    """Average the probabilities of the own model and the teachers', class by class."""
    if settings.harmonise:
        case = in_their_looks(case)
    teachers = relevant_teachers(case.teachers, case.labels, case.query) if settings.masked else case.teachers
    width = len(case.labels)

    def predict(images: Images) -> Tensor:
        return answer(case.logits_of(case.own, images), [case.logits_of(t.model, images) for t in teachers])

    def answer(own: Tensor, others: list[Tensor]) -> Tensor:
        said = [aligned(own, {c: c for c in case.local}, [True] * own.shape[1], width)]
        for teacher, logits in zip(teachers, others, strict=True):
            known = teacher.known if settings.masked else [True] * logits.shape[1]
            said.append(aligned(logits, teacher.columns, known, width))
        votes = torch.stack([s.nan_to_num(-torch.inf).softmax(1).where(~s.isnan(), torch.nan) for s in said])
        return votes.nanmean(0).clamp_min(1e-12).log()

    by_fold = None  # other sites' models never saw the student's images
    if case.own_held_out is not None:
        by_fold = answer(case.own_held_out, [case.logits[t.site] for t in teachers])
    received = sum(t.model.bytes for t in case.teachers)
    return Outcome(predict, len(teachers), received, cross_fitted=by_fold)
