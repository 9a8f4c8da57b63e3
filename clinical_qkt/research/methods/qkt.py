"""Query-based Knowledge Transfer, with the product's own steps: see ``transfer`` and ``distillation``.

The variants ``committee``, ``light``, ``distil`` and ``paper`` are settings, as in the bundle's configs.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from clinical_qkt.packages.model import in_precision
from clinical_qkt.qkt import distillation, subclasses, targets
from clinical_qkt.qkt.head_imitation import with_heads
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.teachers import relevant_teachers, starting_point
from clinical_qkt.research.methods.case import Case, Outcome, of_network


class Settings(TransferSettings):
    """
    Attributes:
        half_precision: teachers' weights come in 16 bits, half as many bytes.
        redraw: another number draws views and batches anew: how much of a figure is chance?
    """

    half_precision: bool = False
    redraw: int = Field(default=0, ge=0)


def run(case: Case, settings: Settings) -> Outcome:
    """Teachers, targets, the start, phase 1, the head's retraining. The budget is spent by the caller."""
    if settings.redraw:
        case = replace(case, seed=case.seed + 1000 * settings.redraw)
    participants = relevant_teachers(case.teachers, case.labels, case.query, settings.teachers_per_class)
    if settings.participants == "all":
        participants = case.teachers
    received = None
    if settings.teachers_per_class is not None:
        # Chosen by the masks on the cards, so that no other package has to be sent.
        received = sum(t.model.bytes for t in participants)
    if settings.half_precision:
        participants = [replace(t, model=in_precision(t.model, "float16")) for t in participants]
        received = (sum(t.model.bytes for t in case.teachers) if received is None else received) // 2
    if settings.heads == "each":
        model = with_heads(case, participants, case.logits, case.own_logits, settings)
        return of_network(case, model.network, participants, received)
    how = settings.soft_targets, *settings.veil
    soft_targets = targets.soft_targets(participants, case.logits, case.own_logits, case.labels, *how)
    network, start = starting_point(case.own, participants, case.labels, case.query, settings.start_from)
    given = start.card.input
    more = {}
    if settings.subclass > 1:
        features = {t.site: case.features(t.model) for t in participants}
        more["parts"] = subclasses.of_teachers(participants, features, soft_targets, settings.subclass)
    images = targets.with_targets(case.view(case.training, given), soft_targets, case.own_logits, **more)
    chosen = (case.query, settings, case.seed, case.device)
    network = distillation.distil(network, images, case.augment, case.view(case.validation, given), *chosen)
    distillation.retrain_head(network, images, *chosen)
    return of_network(case, network, participants, received, given)
