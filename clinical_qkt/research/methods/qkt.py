"""Query-based Knowledge Transfer, by the product's own steps: see ``qkt.method``.

The variants ``committee``, ``light``, ``distil`` and ``paper`` are settings, as in the bundle's configs.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from clinical_qkt.packages.model import in_precision
from clinical_qkt.qkt import method
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.research.methods import registry
from clinical_qkt.research.methods.case import Case, CaseImages, Outcome, of_network
from clinical_qkt.research.methods.seen_by_teachers import in_their_looks


class Settings(TransferSettings):
    """
    Attributes:
        half_precision: teachers' weights come in 16 bits, half as many bytes.
        redraw: another number draws views and batches anew: how much of a figure is chance?
    """

    half_precision: bool = False
    redraw: int = Field(default=0, ge=0)


@registry.method("qkt", family="ours")
def run(case: Case, settings: Settings) -> Outcome:
    """What is learnt and refined. The forgetting budget is spent by the caller, for all methods alike."""
    if settings.harmonise:
        case = in_their_looks(case)
    if settings.redraw:
        case = replace(case, seed=case.seed + 1000 * settings.redraw)
    participants = method.participants(case.teachers, case, settings)
    # Chosen by the masks on the cards, no other package has to be sent.
    sent = participants if settings.teachers_per_class is not None else case.teachers
    received = sum(t.model.bytes for t in sent)
    if settings.half_precision:
        participants = [replace(t, model=in_precision(t.model, "float16")) for t in participants]
        received //= 2
    base = method.Base(case.own, case.own_held_out)
    learnt = method.learn(case, CaseImages(case), base, participants, settings)
    method.refine(case, learnt, settings)
    outcome = of_network(case, learnt.network, participants, received, learnt.start.card.input)
    return replace(outcome, cross_fitted=learnt.cross_fitted, compared=learnt.compared)
