"""KnFu: Effective Knowledge Fusion (Seyedmohammadi et al., 2024, arXiv 2403.11892).

Not every site's knowledge helps every other. Each other site is weighed by how well its predictions on the
student's images agree with the student's own; only its semantic neighbours are fused into soft labels, from
which it learns together with its own labels.

The cross-entropy on own labels is plain, as at the source, so that it holds the queried classes down: no own
image shows them. Ours, since the source has one label space for all sites: a column is averaged over those
neighbours that know the class, and a queried class that none knows brings in the best teacher that does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from clinical_qkt.networks.spec import reshape_head
from clinical_qkt.qkt.losses import masked_kl
from clinical_qkt.qkt.targets import aligned, require_finite
from clinical_qkt.qkt.teachers import Teacher, relevant_teachers
from clinical_qkt.research.methods.case import Case, Outcome, TrainingSettings, of_network
from clinical_qkt.research.methods.registry import method
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import labels_of


class Settings(TrainingSettings):
    """
    Attributes:
        threshold: the similarity from which a site is a semantic neighbour; between 0 and 1.
        weight, temperature: of the divergence from the fused soft labels.
    """

    threshold: float = Field(default=0.5, ge=0, le=1)
    weight: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=2.0, gt=0)


@method("knfu", family="fusion")
def run(case: Case, settings: Settings) -> Outcome:
    """Weigh all teachers, fuse the neighbours' soft targets, distil into the student's own network."""
    relevant_teachers(case.teachers, case.labels, case.query)  # refuses a class that nobody knows
    width, labels = len(case.labels), labels_of(case.training)
    soft_targets, similarities = {}, {}
    for t in case.teachers:
        require_finite(case.logits[t.site], t.site)
        soft_targets[t.site] = aligned(case.logits[t.site], t.columns, t.known, width)
        shared = sorted(t.known_columns & set(case.local))
        similarities[t.site] = similarity(case.own_logits, soft_targets[t.site], labels, shared)
    chosen = neighbours(case.teachers, similarities, case.query, settings.threshold)
    soft = fuse(
        [soft_targets[t.site] for t in chosen], [similarities[t.site] for t in chosen], settings.temperature
    )
    # As logits whose softmax at the temperature gives the fused labels back; NaN stays NaN.
    targets = settings.temperature * soft.clamp_min(1e-8).log()
    items = [
        {"image": case.training[i]["image"], "label": labels[i], "soft_targets": targets[i]}
        for i in range(len(case.training))
    ]

    def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        away = masked_kl(logits, batch["soft_targets"], settings.temperature)
        return SINGLE_LABEL.loss(logits, batch) + settings.weight * away

    network = reshape_head(case.own.network, {c: c for c in case.local}, width)
    network = case.train(network, items, loss, settings, "effective knowledge fusion")
    return of_network(case, network, chosen)


def similarity(own: Tensor, soft_targets: Tensor, labels: Tensor, shared: Sequence[int]) -> float:
    """How well a teacher agrees with the student on the student's images of the classes that both know.

    ``1 - mean_c JS(s_c, t_c) / log 2`` over the shared classes ``c``, with ``s_c`` and ``t_c`` the student's
    and the teacher's mean softmax, over the shared classes, on the images of class ``c``. The
    Jensen-Shannon divergence is at most ``log 2``: the similarity is 1 for equal and 0 for opposite opinions.

    Args:
        own: ``(N, local)``, the student's logits.
        soft_targets: ``(N, C)``, the teacher's, in the student's columns.
        labels: ``(N,)``.
        shared: the columns of the classes that both know. Fewer than two leave nothing to compare: 0.
    """
    present = [c for c in shared if bool((labels == c).any())]
    if len(shared) < 2 or not present:
        return 0.0
    columns = list(shared)
    student, teacher = own[:, columns].softmax(1), soft_targets[:, columns].softmax(1)
    each = [_js(student[labels == c].mean(0), teacher[labels == c].mean(0)) for c in present]
    return 1 - float(torch.stack(each).mean()) / math.log(2)


def neighbours(
    teachers: Sequence[Teacher], similarities: dict[str, float], query: Sequence[int], threshold: float
) -> list[Teacher]:
    """The semantic neighbours; for a queried class that none of them knows, the most similar that does."""
    chosen = {t.site for t in teachers if similarities[t.site] >= threshold}
    for q in query:
        holders = [t for t in teachers if q in t.known_columns]
        if not any(t.site in chosen for t in holders):
            chosen.add(max(holders, key=lambda t: (similarities[t.site], t.score(q))).site)
    return [t for t in teachers if t.site in chosen]


def fuse(soft_targets: Sequence[Tensor], weights: Sequence[float], temperature: float) -> Tensor:
    """Soft labels of several teachers in one.

    Args:
        soft_targets: ``(N, C)`` logits of each, NaN where it does not know the class.
        weights: a similarity each.

    Returns:
        ``(N, C)``: in each column the weighted mean of the probabilities given by those who know the class,
        then each row scaled to a sum of 1; NaN in a column that nobody knows, about which nothing is said.
    """
    stacked = torch.stack(list(soft_targets))
    known = ~torch.isnan(stacked)
    probabilities = (stacked.masked_fill(~known, -torch.inf) / temperature).softmax(2)
    # A teacher brought in for a queried class may have a similarity of 0 and yet be alone in its column.
    weight = torch.tensor(weights).clamp_min(1e-6)[:, None, None] * known
    fused = (weight * probabilities).sum(0) / weight.sum(0)  # 0 / 0 is NaN: nobody knows
    return fused / fused.nansum(1, keepdim=True)


def _js(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two distributions."""
    middle = ((p + q) / 2).clamp_min(1e-12)
    return (torch.special.xlogy(p, p / middle) + torch.special.xlogy(q, q / middle)).sum() / 2
