"""The joint opinion as one operator, which an exporter can translate as a whole.

The same Newton steps as ``networks.joint_opinion``, written with products of matrices and in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clinical_qkt.networks.joint_opinion import RIDGE, STEPS, JointOpinion

DAMPING, LONGEST = 0.01, 2.0
"""As in ``joint_opinion``."""


@torch.library.custom_op("clinical_qkt::joint_opinion", mutates_args=())
def opinion(said: Tensor, place: Tensor, member: Tensor) -> Tensor:
    """The joint opinion of what is said, image by image.

    Args:
        said: ``(B, R)`` float64, the probabilities of all models' classes beside each other.
        place: ``(R, width)`` of zeros and ones: which class of all a row is.
        member: ``(M, R)`` of zeros and ones: whose row it is.

    Returns:
        ``(B, width)`` float64 logits.
    """
    eye = torch.eye(place.shape[1], dtype=said.dtype, device=said.device)
    z, same = (said * 0) @ place, member.T @ member
    for _ in range(STEPS):
        y = z @ place.T
        e = (y - y.amax(1, keepdim=True)).exp()
        s = e / (e @ same)
        gradient = RIDGE * z + (s - said) @ place
        shared = (s[:, None] * member) @ place
        curvature = ((s @ place)[:, None] + (RIDGE + DAMPING)) * eye - shared.mT @ shared
        z = z - torch.linalg.solve(curvature, gradient).clamp(-LONGEST, LONGEST)
    return z


@opinion.register_fake
def _(said: Tensor, place: Tensor, member: Tensor) -> Tensor:
    return said.new_empty(said.shape[0], place.shape[1])


class OneOperator(nn.Module):
    """``JointOpinion`` as a single operator, which ``onnx_translation`` gives to ONNX."""

    place: Tensor
    member: Tensor

    def __init__(self, join: JointOpinion) -> None:
        super().__init__()
        rows = [(m, column) for m, columns in enumerate(join.columns) for column in columns]
        whose, where = (torch.tensor(of) for of in zip(*rows, strict=True))
        place = nn.functional.one_hot(where, join.width).double()
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("member", nn.functional.one_hot(whose).double().T.contiguous(), persistent=False)

    def forward(self, logits: Sequence[Tensor]) -> Tensor:
        """As ``JointOpinion`` does."""
        said = torch.cat([given.double().softmax(1) for given in logits], 1)
        found: Tensor = torch.ops.clinical_qkt.joint_opinion(said, self.place, self.member)
        return found.to(logits[0].dtype)


def with_operators(network: nn.Module) -> nn.Module:
    """The network with each joint opinion as one operator; changed in place."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, JointOpinion):
                setattr(module, name, OneOperator(child))
    return network
