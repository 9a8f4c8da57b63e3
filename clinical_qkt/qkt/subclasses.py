"""Pseudo-subclasses: what a teacher of few classes sees within a class, as further targets.

After LELP (Loo et al., arXiv 2409.20449): with two or three classes a teacher's probabilities carry little,
so each class is split along its embedding's main directions, and the student learns the parts as well. The
embedding is what arrives at the teacher's head. Ours: directions are found on the student's images, each
weighed by the teacher's probability of the class, since the student has no image of a queried class; and what
the student says of the parts comes from a second head, which is thrown away after training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from scipy.linalg import helmert
from torch import Tensor
from torch.nn import functional as F

from clinical_qkt.networks.spec import linear_head
from clinical_qkt.qkt.teachers import Teacher


def of_teachers(
    teachers: Sequence[Teacher], features: Mapping[str, Tensor], soft_targets: Tensor, count: int
) -> Tensor:
    """The parts that each teacher sees in each of its classes.

    Args:
        features: what arrives at each teacher's head on the student's images, by site, ``(N, D)``.
        soft_targets: the teachers' logits in the student's columns, ``(N, T, C)``, NaN for unknown classes.
        count: parts of a class, S.

    Returns:
        ``(N, T, C, S)`` log-probabilities within each class; zeros for unknown classes.

    Raises:
        InputError: a teacher has no linear head.
    """
    parts = []
    for t, teacher in enumerate(teachers):
        network = teacher.model.network
        head = linear_head(network)
        weight = head.weight.detach().float().cpu()
        parts.append(split(features[teacher.site], weight, soft_targets[:, t], count))
    return torch.stack(parts, 1)


def split(features: Tensor, head: Tensor, soft_targets: Tensor, count: int) -> Tensor:
    """Each class in ``count`` parts, along the directions in which its embedding varies most.

    Directions that move the logits are taken out first: what they hold is in the logits already. Along the
    others, scaled to spread 1, the parts sit on the corners of a regular simplex.

    Args:
        features: ``(N, D)``.
        head: the teacher's weights, ``(its classes, D)``.
        soft_targets: its logits, ``(N, C)``, NaN for unknown classes.
        count: at least 2.

    Returns:
        ``(N, C, count)`` log-probabilities within each class; zeros for unknown classes.
    """
    known = ~torch.isnan(soft_targets[0])
    shares = soft_targets[:, known].double().softmax(1)
    seen = features.double()
    seen = seen - seen @ torch.linalg.pinv(head.double()) @ head.double()
    corners = torch.from_numpy(helmert(count)) * count**0.5
    parts = torch.zeros(*soft_targets.shape, count)
    for share, c in zip(shares.T, known.nonzero().flatten().tolist(), strict=True):
        weight = share / share.sum().clamp_min(1e-12)
        centred = seen - weight @ seen
        spread, directions = torch.linalg.eigh((weight[:, None] * centred).T @ centred)
        spread, directions = spread[1 - count :], directions[:, 1 - count :]
        there = spread > 1e-9 * seen.square().mean()  # of the others there is nothing but rounding
        along = centred @ directions[:, there] / spread[there].sqrt()
        parts[:, c] = F.log_softmax(along @ corners[: along.shape[1]], 1).float()
    return parts


def subclass_divergence(logits: Tensor, soft_targets: Tensor, parts: Tensor, temperature: float) -> Tensor:
    """KL divergence within the classes, each weighed by the teacher's probability of it.

    ``T² · mean_b Σ_c t_bc KL(parts_bc ‖ student's_bc)``. Added to ``losses.masked_kl`` it makes the
    divergence between distributions over all classes' parts, by the chain rule.

    Args:
        logits: the student's second head, ``(B, T, C, S)``.
        soft_targets: ``(B, T, C)``, NaN for unknown classes.
        parts: the teachers', as from ``of_teachers``.
        temperature: of the teachers' probabilities of classes.

    Returns:
        The mean over teachers.
    """
    shares = (soft_targets / temperature).nan_to_num(nan=-torch.inf).softmax(2)
    within = F.kl_div(F.log_softmax(logits, 3), parts, reduction="none", log_target=True).sum(3)
    return temperature**2 * (shares * within).sum(2).mean()
