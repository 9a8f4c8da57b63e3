"""The losses of a transfer: pure functions over logits.

Throughout: ``logits`` are the student's, ``(B, C)`` with C = local classes + query; ``soft_targets`` a
teacher's on the same images, aligned to the student's columns, ``(B, C)``, NaN in the columns that its
knowledge mask does not cover; ``local`` and ``query`` lists of column positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Annotated, Any, Concatenate, ParamSpec

import torch
from pydantic import AfterValidator, Field
from pydantic_core import PydanticKnownError
from torch import Tensor
from torch.nn import functional as F

from clinical_qkt.qkt.subclasses import subclass_divergence
from clinical_qkt.tasks.single_label import SINGLE_LABEL

More = ParamSpec("More")
Divergence = Callable[Concatenate[Tensor, Tensor, More], Tensor]
"""From logits and one teacher's soft targets to a scalar; what else it takes is of ``TOLD``."""
TOLD = ("query", "local", "temperature", "progress")
"""What a divergence may ask for by the name of a parameter; see ``mean_divergence``."""
DIVERGENCES: dict[str, Divergence[...]] = {}
"""By their names in configs; filled by ``divergence``."""


def divergence(name: str) -> Callable[[Divergence[More]], Divergence[More]]:
    """Decorates a function that may be named as the divergence from the teachers.

    Raises:
        TypeError: there is another of that name, or it takes something that nobody has to give.
    """

    def register(function: Divergence[More]) -> Divergence[More]:
        strange = set(list(signature(function).parameters)[2:]) - set(TOLD)
        if name in DIVERGENCES or strange:
            raise TypeError(f"divergence '{name}' is there already, or takes more than {', '.join(TOLD)}")
        DIVERGENCES[name] = function
        return function

    return register


def _registered(name: str) -> str:
    if name not in DIVERGENCES:
        raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, DIVERGENCES))})
    return name


def _names(schema: dict[str, Any]) -> None:
    schema["enum"] = [*DIVERGENCES]


DivergenceName = Annotated[str, AfterValidator(_registered), Field(json_schema_extra=_names)]
"""One of ``DIVERGENCES``."""


def restricted_cross_entropy(logits: Tensor, labels: Tensor, local: Sequence[int]) -> Tensor:
    """Cross-entropy whose softmax leaves the queried classes out on images of local classes.

    A plain softmax would push the queried class down on every local image, since none shows it. An image of
    a queried class, where the student has a few, is told from all others: its softmax is over all columns.

    Args:
        labels: ``(B,)``, columns of ``logits``.

    >>> logits = torch.tensor([[1.0, 0.0, 5.0]])
    >>> round(float(restricted_cross_entropy(logits, torch.tensor([0]), local=[0, 1])), 3)  # over two columns
    0.313
    >>> round(float(restricted_cross_entropy(logits, torch.tensor([2]), local=[0, 1])), 3)  # over three
    0.025
    """
    columns = torch.tensor(list(local), device=logits.device)
    queried = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
    queried[columns] = False
    hidden = torch.isin(labels, columns)[:, None] & queried
    return F.cross_entropy(logits.masked_fill(hidden, -torch.inf), labels)


@divergence("kl")
def masked_kl(logits: Tensor, soft_targets: Tensor, temperature: float = 2.0) -> Tensor:
    """KL divergence of the student from a teacher, over the classes that the teacher knows.

    This is the closest reading of the paper's distillation term (arXiv 2504.09205). Scaled by the square of
    the temperature, so that gradients keep their size (Hinton et al., arXiv 1503.02531).

    >>> student, teacher = torch.tensor([[2.0, 0.0, 9.0]]), torch.tensor([[0.0, 2.0, torch.nan]])
    >>> round(float(masked_kl(student, teacher)), 3)  # of the third class the teacher knows nothing
    1.848
    """
    student, teacher = _log_softmax_of_known(logits, soft_targets, temperature)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


@divergence("reverse_kl")
def reverse_kl(logits: Tensor, soft_targets: Tensor, temperature: float = 2.0) -> Tensor:
    """KL divergence of a teacher from the student, over the classes that the teacher knows.

    ``T² · mean_b Σ_c s_c (log s_c - log t_c)``, with ``s`` and ``t`` the student's and the teacher's softmax
    at temperature ``T``. It seeks a mode: what the teacher holds possible may be left out, what it rules out
    may not be added. In distillation since MiniLLM (Gu et al., arXiv 2306.08543).

    >>> student, teacher = torch.tensor([[0.0, 0.0, -9.0]]), torch.tensor([[0.0, 0.0, 0.0]])
    >>> round(float(reverse_kl(student, teacher)), 2)  # leaving out what the teacher holds possible
    1.5
    >>> round(float(masked_kl(student, teacher)), 2)  # is far dearer in the other direction
    4.4
    """
    student, teacher = _log_softmax_of_known(logits, soft_targets, temperature)
    return temperature**2 * _kl(student, teacher).mean()


@divergence("balanced")
def balanced_kl(logits: Tensor, soft_targets: Tensor, temperature: float = 2.0) -> Tensor:
    """Both directions of KL, weighed image by image by who is less certain.

    ``T² · mean_b [w_b KL(t_b ‖ s_b) + (1 - w_b) KL(s_b ‖ t_b)]``, ``w_b = sigmoid(H(s_b) - H(t_b))`` with
    ``H`` the entropy at temperature ``T``; ``w`` passes no gradient. After BD-KD (Amara et al., arXiv
    2212.12965), which weighs both directions for each sample by the gap between the entropies. The sigmoid
    and the direction are our reading: where the student is less certain than the teacher, forward KL counts
    more, where it is more certain, reverse KL.

    >>> unsure, sure = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[6.0, 0.0, 0.0]])
    >>> round(float(balanced_kl(unsure, sure)), 2)
    3.27
    >>> round(float(masked_kl(unsure, sure)), 2), round(float(reverse_kl(unsure, sure)), 2)  # between
    (2.93, 3.99)
    """
    student, teacher = _log_softmax_of_known(logits, soft_targets, temperature)
    gap = (teacher.exp() * teacher).sum(1) - (student.exp() * student).sum(1)  # H(s) - H(t)
    forward = torch.sigmoid(gap).detach()
    both = forward * _kl(teacher, student) + (1 - forward) * _kl(student, teacher)
    return temperature**2 * both.mean()


@divergence("interpolated")
def interpolated_kl(
    logits: Tensor, soft_targets: Tensor, progress: float, temperature: float = 2.0
) -> Tensor:
    """KL divergence of the student from a target that moves from itself to the teacher.

    ``T² · mean_b KL(p_b ‖ s_b)``, ``p = softmax(((1 - progress) · student + progress · teacher) / T)`` over
    the classes that the teacher knows; no gradient passes through ``p``. After TAID (Shing et al., arXiv
    2501.16937), here with a linear schedule instead of its adaptive one.

    Args:
        progress: 0: the student itself, 1: the teacher, which is ``masked_kl``.

    >>> student, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    >>> [round(float(interpolated_kl(student, teacher, progress)), 3) for progress in (0.0, 0.5, 1.0)]
    [0.0, 0.48, 1.848]
    >>> round(float(masked_kl(student, teacher)), 3)
    1.848
    """
    mixed = (
        1 - progress
    ) * logits.detach() + progress * soft_targets  # NaN stays where the teacher knows nothing
    return masked_kl(logits, mixed, temperature)


def _log_softmax_of_known(logits: Tensor, soft_targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    known = ~torch.isnan(soft_targets[0])
    return F.log_softmax(logits[:, known] / temperature, 1), F.log_softmax(
        soft_targets[:, known] / temperature, 1
    )


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``KL(p ‖ q)`` of each row."""
    return (log_p.exp() * (log_p - log_q)).sum(1)


@divergence("logit")
def logit_matching(logits: Tensor, soft_targets: Tensor) -> Tensor:
    """Squared difference of the centred logits over the classes that the teacher knows.

    A softmax ignores what all logits have in common, so it is taken out on both sides.

    >>> teacher = torch.tensor([[1.0, 3.0]])
    >>> float(logit_matching(teacher + 5, teacher)), float(logit_matching(torch.ones(1, 2), teacher))
    (0.0, 1.0)
    """
    known = ~torch.isnan(soft_targets[0])
    student, teacher = logits[:, known], soft_targets[:, known]
    return F.mse_loss(student - student.mean(1, keepdim=True), teacher - teacher.mean(1, keepdim=True))


@divergence("evidence")
def evidence_matching(
    logits: Tensor, soft_targets: Tensor, query: Sequence[int], local: Sequence[int]
) -> Tensor:
    """Squared difference of the evidence for the queried classes, student's against a teacher's.

    Ours: a teacher's evidence for a class that is absent from the student's images lives in logits that the
    softmax flattens. Evidence is measured against the local classes that the teacher knows too. A teacher
    that shares none of them has no common scale with the student and adds nothing.

    >>> student = torch.tensor([[1.0, 3.0, 5.0]])
    >>> teacher = torch.tensor([[torch.nan, 0.0, 4.0]])  # evidence of 4; the student's is 2
    >>> float(evidence_matching(student, teacher, query=[2], local=[0, 1]))
    4.0
    >>> stranger = torch.tensor([[torch.nan, torch.nan, 4.0]])  # shares no class with the student
    >>> float(evidence_matching(student, stranger, query=[2], local=[0, 1]))
    0.0
    """
    known = ~torch.isnan(soft_targets[0])
    queried = [q for q in query if known[q]]
    shared = [c for c in local if known[c]]
    if not queried or not shared:
        return logits.sum() * 0.0
    mine, theirs = (SINGLE_LABEL.evidence(z, queried, shared) for z in (logits, soft_targets))
    return F.mse_loss(mine, theirs)


def mean_divergence(name: str, logits: Tensor, soft_targets: Tensor, **told: Any) -> Tensor:
    """The divergence named in the config, averaged over the relevant teachers.

    Args:
        soft_targets: ``(B, T, C)``, one slice a relevant teacher.
        told: all of ``TOLD``: the columns ``query`` and ``local``, the ``temperature`` of softmaxes, and the
            ``progress`` of the training from 0 to 1. A divergence is given those that it takes.

    >>> student, told = torch.tensor([[1.0, 3.0, 5.0]]), {"query": [2], "local": [0, 1]}
    >>> told |= {"temperature": 2.0, "progress": 1.0}
    >>> two = torch.tensor([[[1.0, 3.0, 5.0], [0.0, 0.0, 6.0]]])  # (B, T, C); the first holds just the same
    >>> each = [mean_divergence("logit", student, t, **told) for t in (two[:, :1], two[:, 1:], two)]
    >>> [round(float(value), 2) for value in each]
    [0.0, 2.67, 1.33]
    """
    function = DIVERGENCES[name]
    taken = {key: told[key] for key in list(signature(function).parameters)[2:]}
    return torch.stack([function(logits, one, **taken) for one in soft_targets.unbind(1)]).mean()


class TransferLoss(torch.nn.Module):
    """What phase 1 and phase 2 minimise: three terms, each a pure function above.

    Args:
        local, query: the columns of the local and of the queried classes.
        kind: the divergence from the teachers.
        label_weight, divergence_weight, self_weight: of the restricted cross-entropy, of the divergence, and
            of keeping the student's own earlier logits.
        temperature: of the divergences between softmaxes.

    A network in training that has a second head learns pseudo-subclasses by it, with the weight of the
    divergence; see ``subclasses``.
    """

    progress: float = 1.0  #: of the training, for ``interpolated``; ``handlers.Progress`` sets it

    def __init__(
        self,
        local: Sequence[int],
        query: Sequence[int],
        *,
        kind: DivergenceName,
        label_weight: float = 1.0,
        divergence_weight: float,
        self_weight: float,
        temperature: float,
    ) -> None:
        super().__init__()
        self.local, self.query, self.kind, self.temperature = list(local), list(query), kind, temperature
        self.label_weight, self.divergence_weight = label_weight, divergence_weight
        self.self_weight = self_weight

    def forward(self, output: Tensor | tuple[Tensor, Tensor], targets: dict[str, Tensor]) -> Tensor:
        """
        Args:
            output: logits ``(B, C)``; with a second head also its own, ``(B, T, C, S)``.
            targets: ``label`` ``(B,)``, ``soft_targets`` ``(B, T, C)``, ``own`` ``(B, local)``, with a second
                head ``parts`` ``(B, T, C, S)``.

        Returns:
            A scalar.
        """
        logits, within = output if isinstance(output, tuple) else (output, None)
        loss = self.label_weight * restricted_cross_entropy(logits, targets["label"], self.local)
        if self.divergence_weight:
            told = {key: getattr(self, key) for key in TOLD}
            away = mean_divergence(self.kind, logits, targets["soft_targets"], **told)
            loss = loss + self.divergence_weight * away
        if within is not None:
            away = subclass_divergence(within, targets["soft_targets"], targets["parts"], self.temperature)
            loss = loss + self.divergence_weight * away
        if self.self_weight:
            loss = loss + self.self_weight * logit_matching(logits[:, self.local], targets["own"])
        return loss
