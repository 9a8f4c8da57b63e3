"""The losses of a transfer: pure functions over logits.

Throughout: ``logits`` are the student's, ``(B, C)`` with C = local classes + query; ``answers`` a teacher's
on the same images, aligned to the student's columns, ``(B, C)``, NaN in the columns that its knowledge mask
does not cover; ``local`` and ``query`` lists of column positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Divergence = Literal["evidence", "logit", "kl"]


def restricted_cross_entropy(logits: Tensor, labels: Tensor, local: Sequence[int]) -> Tensor:
    """Cross-entropy with a softmax over the local classes only.

    A plain softmax would push the queried class down on every local image, since none shows it.

    Args:
        labels: ``(B,)``, positions within ``local``.
    """
    return F.cross_entropy(logits[:, list(local)], labels)


def masked_kl(logits: Tensor, answers: Tensor, temperature: float = 2.0) -> Tensor:
    """KL divergence of the student from a teacher, over the classes that the teacher knows.

    This is the closest reading of the paper's distillation term (arXiv 2504.09205). Scaled by the square of
    the temperature, so that gradients keep their size (Hinton et al., arXiv 1503.02531).
    """
    known = ~torch.isnan(answers[0])
    student = F.log_softmax(logits[:, known] / temperature, 1)
    teacher = F.log_softmax(answers[:, known] / temperature, 1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def logit_matching(logits: Tensor, answers: Tensor) -> Tensor:
    """Squared difference of the centred logits over the classes that the teacher knows.

    A softmax ignores what all logits have in common, so it is taken out on both sides.
    """
    known = ~torch.isnan(answers[0])
    student, teacher = logits[:, known], answers[:, known]
    return F.mse_loss(student - student.mean(1, keepdim=True), teacher - teacher.mean(1, keepdim=True))


def evidence(logits: Tensor, query: Sequence[int], known: Sequence[int]) -> Tensor:
    """How much speaks for each queried class: its logit above the mean logit of the known classes.

    Returns:
        ``(B, len(query))``.
    """
    return logits[:, list(query)] - logits[:, list(known)].mean(1, keepdim=True)


def evidence_matching(logits: Tensor, answers: Tensor, query: Sequence[int], local: Sequence[int]) -> Tensor:
    """Squared difference of the evidence for the queried classes, student's against a teacher's.

    Ours: a teacher's evidence for a class that is absent from the student's images lives in logits that the
    softmax flattens. Evidence is measured against the local classes that the teacher knows too. A teacher
    that shares none of them has no common scale with the student and adds nothing.
    """
    known = ~torch.isnan(answers[0])
    asked = [q for q in query if known[q]]
    shared = [c for c in local if known[c]]
    if not asked or not shared:
        return logits.sum() * 0.0
    return F.mse_loss(evidence(logits, asked, shared), evidence(answers, asked, shared))


def divergence(
    kind: Divergence,
    logits: Tensor,
    answers: Tensor,
    query: Sequence[int],
    local: Sequence[int],
    temperature: float,
) -> Tensor:
    """The divergence named in the config, averaged over the relevant teachers.

    Args:
        answers: ``(B, T, C)``, one slice a relevant teacher.
    """
    each = {
        "kl": lambda a: masked_kl(logits, a, temperature),
        "logit": lambda a: logit_matching(logits, a),
        "evidence": lambda a: evidence_matching(logits, a, query, local),
    }[kind]
    return torch.stack([each(answers[:, t]) for t in range(answers.shape[1])]).mean()


class TransferLoss(torch.nn.Module):
    """What phase 1 and phase 2 minimise: three terms, each a pure function above.

    Args:
        local, query: the columns of the local and of the queried classes.
        kind: the divergence from the teachers.
        divergence_weight, self_weight: of the divergence, and of keeping the student's own earlier logits.
        temperature: of the ``kl`` divergence.
    """

    def __init__(
        self,
        local: Sequence[int],
        query: Sequence[int],
        *,
        kind: Divergence,
        divergence_weight: float,
        self_weight: float,
        temperature: float,
    ) -> None:
        super().__init__()
        self.local, self.query, self.kind, self.temperature = list(local), list(query), kind, temperature
        self.divergence_weight, self.self_weight = divergence_weight, self_weight

    def forward(self, logits: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """
        Args:
            logits: ``(B, C)``.
            targets: ``label`` ``(B,)``, ``answers`` ``(B, T, C)``, ``own`` ``(B, local)``.

        Returns:
            A scalar.
        """
        loss = restricted_cross_entropy(logits, targets["label"], self.local)
        if self.divergence_weight:
            away = divergence(self.kind, logits, targets["answers"], self.query, self.local, self.temperature)
            loss = loss + self.divergence_weight * away
        if self.self_weight:
            loss = loss + self.self_weight * logit_matching(logits[:, self.local], targets["own"])
        return loss
