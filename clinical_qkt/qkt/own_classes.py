"""Who settles in a committee which of the student's own classes an image shows.

Whether it shows an own or a queried class the joint opinion says in any case. Among own classes others'
models help where their images look like the student's, and cost recall that no bias of a queried class brings
back where they do not. The student's own held-out images tell which it is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from clinical_qkt.data.label_space import align
from clinical_qkt.networks.committee import Committee, CommitteeSpec
from clinical_qkt.networks.joint_opinion import own_settled
from clinical_qkt.packages.model import CardedNetwork
from clinical_qkt.qkt.student import Student, StudentImages
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import labels_of


def settled(
    student: Student,
    images: StudentImages,
    joined: CardedNetwork,
    base: CardedNetwork,
    by_fold: Tensor | None,
    base_by_fold: Tensor | None,
) -> tuple[CardedNetwork, Tensor | None]:
    """The committee, in which the own model alone settles it if it is right more often about held-out images.

    What counts is recall over own classes, each class as much, of own and no queried ones to choose from.

    Args:
        joined: the committee, in which the joint opinion settles it.
        base: its first member.
        by_fold: ``(training images, C)`` logits of such committees as were not fitted to the image.
        base_by_fold: ``(training images, classes of base)``, the same of their first members.

    Returns:
        The committee with its card, and what such committees say by fold.
    """
    local, columns = student.local, align(base.card.labels, student.labels)
    rows = [next(row for row, c in columns.items() if c == own) for own in local]
    shown = images.prepared("validation", joined.card.input)
    seen = images.prepared("validation", base.card.input)
    together = [student.said(joined.network, shown, "validation images")]
    alone, labels = [student.said(base.network, seen)[:, rows]], [labels_of(shown)]
    if by_fold is not None and base_by_fold is not None:
        together.append(by_fold)
        alone.append(base_by_fold[:, rows])
        labels.append(labels_of(images.prepared("training", base.card.input)))
    truth = torch.cat(labels)
    if _recall(torch.cat(alone), truth, local) <= _recall(torch.cat(together)[:, local], truth, local):
        return joined, by_fold
    found = (
        None
        if by_fold is None or base_by_fold is None
        else own_settled(by_fold, base_by_fold[:, rows], local)
    )
    return _by_own(joined, local), found


def _recall(logits: Tensor, truth: Tensor, local: list[int]) -> float:
    """Of own classes that occur, on average; of logits for these alone."""
    named = torch.tensor(local)[SINGLE_LABEL.decide(logits)]
    found = [mine.float().mean() for mine in SINGLE_LABEL.by_class(named == truth, truth, local) if len(mine)]
    return float(torch.stack(found).mean()) if found else 0.0


def _by_own(joined: CardedNetwork, local: list[int]) -> CardedNetwork:
    assert isinstance(joined.network, Committee) and isinstance(joined.card.network, CommitteeSpec)
    spec = joined.card.network.model_copy(update={"own": local})
    network = Committee(spec, list(joined.network.members), joined.network.head.out_features)
    card = joined.card.model_copy(update={"network": spec})
    return replace(joined, network=network.train(joined.network.training), card=card)
