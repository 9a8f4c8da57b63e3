"""What several models that know different classes hold of an image together.

A model tells apart only the classes that it knows; what it says is right for images of those alone. Sought is
one opinion over all classes that agrees with each model as far as that model's classes go.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STEPS = 25
"""Newton steps: enough for gradients below 1e-3, see tests/networks/test_joint_opinion.py."""
RIDGE = 1e-3
"""Weight of ``|z|² / 2``: keeps logits finite where models are certain, and levels what they leave open."""


def merged(logits: Tensor, columns: Sequence[int]) -> tuple[Tensor, list[int]]:
    """One logit a class, where some of a model's classes are parts of one of ours.

    The probability of the merged class is the sum over its parts: its logit is their ``logsumexp``.

    Args:
        logits: ``(B, len(columns))``.
        columns: of which class each is, or is a part.

    Returns:
        ``(B, D)``, and the D distinct columns in the order of their first appearance.

    >>> logits, columns = merged(torch.tensor([[0.0, 0.0, 0.0]]), [4, 7, 4])  # two are one of ours
    >>> logits.exp().round().tolist(), columns
    ([[2.0, 1.0]], [4, 7])
    """
    distinct = list(dict.fromkeys(columns))
    if len(distinct) == len(columns):
        return logits, distinct
    rows = [[r for r, c in enumerate(columns) if c == column] for column in distinct]
    return torch.stack([logits[:, r].logsumexp(1) for r in rows], 1), distinct


def joint_opinion(logits: Sequence[Tensor], columns: Sequence[Sequence[int]], width: int) -> Tensor:
    """The logits over all classes that diverge least from what each model says of its own.

    ``argmin_z Σ_m KL(softmax(z_m) ‖ softmax(z[S_m]))``, image by image, with ``z_m`` the logits of model
    ``m`` and ``S_m`` the classes that it knows. This is how Vongkulbhisal et al. (CVPR 2019, arXiv
    1904.06062) unify heterogeneous classifiers by cross-entropy; with two classes a model it is the pairwise
    coupling of Hastie and Tibshirani (1998). Convex; solved with damped Newton steps.

    Models that do not know a class of interest count, too: two models that share no class are compared
    through a third that knows one of each.

    Args:
        logits: ``(B, len(columns[m]))`` of each model, for the classes that it knows.
        columns: where these stand among all classes; each once, see ``merged``.
        width: how many classes there are in all.

    Returns:
        ``(B, width)``, with a mean of zero in each row as far as models connect the classes.

    >>> first, second = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> z = joint_opinion([first, second], [[0, 1], [1, 2]], width=3)  # they share the class in the middle
    >>> [round(float(z[0, a] - z[0, b]), 1) for a, b in ((0, 1), (1, 2), (0, 2))]
    [2.0, 1.0, 3.0]
    """
    said = [given.softmax(1) for given in logits]
    places = [torch.tensor(list(c), device=said[0].device) for c in columns]
    z = said[0].new_zeros(said[0].shape[0], width)
    for _ in range(STEPS):
        gradient, curvature = _derivatives(z, said, places)
        # Where all are certain the curvature vanishes: steps are damped and held small.
        damped = curvature + 0.01 * torch.eye(width, device=z.device)
        z = z - torch.linalg.solve(damped, gradient).clamp(-2, 2)
    return z


def own_settled(together: Tensor, own: Tensor, classes: Sequence[int]) -> Tensor:
    """The joint opinion, but for one thing: which of its own classes an image shows, the own model settles.

    ``P(c) = P(own) p_own(c)`` for an own class, and all others as they are.

    Args:
        together: ``(B, width)`` of ``joint_opinion``.
        own: ``(B, len(classes))`` logits of the own model, for its own classes alone.
        classes: where these stand among all classes; each once.

    Returns:
        ``(B, width)``.

    >>> together, own = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([[3.0, 0.0]])
    >>> [round(z, 1) for z in own_settled(together, own, [0, 1])[0].tolist()]
    [2.3, -0.7, 0.5]
    """
    mine = list(classes)
    settled = together.clone()
    settled[:, mine] = together[:, mine].logsumexp(1, keepdim=True) + own.log_softmax(1)
    return settled


class JointOpinion(nn.Module):
    """``joint_opinion`` of given models as a module without weights, so that an export can have it in another
    form.

    Args:
        columns, width: as ``joint_opinion`` has them.
    """

    def __init__(self, columns: Sequence[Sequence[int]], width: int) -> None:
        super().__init__()
        self.columns, self.width = columns, width

    def forward(self, logits: Sequence[Tensor]) -> Tensor:
        """``(B, len(columns[m]))`` of each model to ``(B, width)``."""
        return joint_opinion(logits, self.columns, self.width)


def opinion_bytes(images: int, width: int) -> int:
    """What ``joint_opinion`` takes of memory: eight tables of the square of the classes for every image.

    >>> opinion_bytes(images=1000, width=10)
    3200000
    """
    return 8 * 4 * images * width**2


def _derivatives(z: Tensor, said: Sequence[Tensor], places: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Gradient ``(B, width)`` and Hessian ``(B, width, width)`` of the sum of divergences."""
    width = z.shape[1]
    gradient = RIDGE * z
    curvature = (RIDGE * torch.eye(width, device=z.device)).repeat(z.shape[0], 1, 1)
    for p, place in zip(said, places, strict=True):
        s = z[:, place].softmax(1)
        gradient[:, place] += s - p
        curvature[:, place[:, None], place[None, :]] += torch.diag_embed(s) - s[:, :, None] * s[:, None, :]
    return gradient, curvature
