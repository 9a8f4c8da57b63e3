"""Knowledge distillation as it is usually done (Hinton et al., arXiv 1503.02531), from all or some teachers.

Soft targets and hard labels: the Kullback-Leibler divergence from each teacher at a temperature, over the
classes that both have, plus plain cross-entropy over all of the student's classes.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.networks.spec import reshape_head
from clinical_qkt.qkt.losses import masked_kl
from clinical_qkt.qkt.targets import aligned, with_targets
from clinical_qkt.qkt.teachers import relevant_teachers
from clinical_qkt.research.methods.case import Case, Outcome, TrainingSettings, of_network
from clinical_qkt.research.methods.registry import method
from clinical_qkt.tasks.single_label import SINGLE_LABEL


class Settings(TrainingSettings):
    """
    Attributes:
        relevant_only: ask only the teachers whose mask covers a queried class.
        weight, temperature: of the divergence.
    """

    relevant_only: bool = False
    weight: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=2.0, gt=0)


@method("distill", family="fusion")
def run(case: Case, settings: Settings) -> Outcome:
    """Distil into the student's own network, grown by rows for the queried classes."""
    teachers = case.teachers
    if settings.relevant_only:
        teachers = relevant_teachers(teachers, case.labels, case.query)
    width = len(case.labels)
    soft_targets = torch.stack(
        [aligned(case.logits[t.site], t.columns, [True] * len(t.known), width) for t in teachers], 1
    )
    items = with_targets(case.training, soft_targets, case.own_logits).data

    def loss(logits: Tensor, targets: dict[str, Tensor]) -> Tensor:
        each = [
            masked_kl(logits, targets["soft_targets"][:, t], settings.temperature)
            for t in range(len(teachers))
        ]
        return SINGLE_LABEL.loss(logits, targets) + settings.weight * torch.stack(each).mean()

    network = reshape_head(case.own.network, {c: c for c in case.local}, width)
    network = case.train(network, items, loss, settings, "distillation")
    return of_network(case, network, teachers)
