"""Distillation on images about which the teachers and the student disagree.

After HARD (Nix et al., "Hard Augmentations for Robust Distillation", arXiv 2305.14890), which generates such
images with augmentations that are learnt against the student. *Ours:* nothing is learnt. Of each image a few
looks are drawn, and in each step the one is taken about which the student of that step and the teachers
disagree most, less what the look changed about the teachers' own answer: a look that only confuses the
teachers teaches nothing. What the teachers say is computed on the very image that the student is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract, converted
from clinical_qkt.data.look_augmentation import RandLookd
from clinical_qkt.qkt import targets
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.student import Student
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.training.loop import prepare_batch

Said = Callable[[Tensor], dict[str, Tensor]]
"""From images ``(B, channels, *places)`` to ``soft_targets`` ``(B, T, C)`` and ``own`` ``(B, local)``."""


class HardImages:
    """Prepares the batches of phase 1, in the place of ``loop.prepare_batch``.

    Args:
        network: the student, in training.
        given: what the images were prepared for.
        said: by the teachers and the own model.
        looks: how many are drawn for each image; it may stay as it is, too.
        temperature: of the softmaxes between which the disagreement is measured.

    Raises:
        InputError: the images are brought to a teacher's look already, and could not be shown to the others.
    """

    def __init__(
        self, network: nn.Module, given: InputContract, said: Said, looks: int, temperature: float
    ) -> None:
        if given != given.plain:
            raise InputError(
                "the new model sees images in another site's look, in which no others can be asked",
                where="settings: hard_augmentation",
                fix="set 'start_from: own', or 'harmonise: false'",
            )
        self.network, self.said, self.temperature = network, said, temperature
        self.draw, self.looks = RandLookd("strong", given), looks

    def __call__(
        self, batch: dict[str, Any], device: torch.device, non_blocking: bool = False, **_: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The images in the hardest of their looks, and the targets with what is said of these."""
        images, told = prepare_batch(batch, device, non_blocking)
        self.draw.set_random_state(int(torch.randint(2**31, ())))  # which is seeded anew for each epoch
        shown = [images, *(self.draw.of_batch(images) for _ in range(self.looks))]
        said = [{name: rows.to(device) for name, rows in self.said(each).items()} for each in shown]
        scores = torch.stack([self._hardness(each, s, said[0]) for each, s in zip(shown, said, strict=True)])
        hardest, rows = scores.argmax(0), torch.arange(len(images), device=device)
        chosen = {name: torch.stack([s[name] for s in said])[hardest, rows] for name in said[0]}
        return torch.stack(shown)[hardest, rows], {**told, **chosen}

    @torch.no_grad()
    def _hardness(self, images: Tensor, said: dict[str, Tensor], plain: dict[str, Tensor]) -> Tensor:
        """``(B,)`` for images in one look."""
        training = self.network.training
        logits = self.network.eval()(images).float()
        self.network.train(training)
        taught, before = said["soft_targets"], plain["soft_targets"]
        return disagreement(taught, logits[:, None].expand_as(taught), self.temperature) - disagreement(
            before, taught, self.temperature
        )


def disagreement(one: Tensor, two: Tensor, temperature: float) -> Tensor:
    """KL divergence of the second softmax from the first, over the classes that a teacher knows.

    Args:
        one: ``(B, T, C)`` logits, NaN where a teacher does not know the class.
        two: the same, or without gaps.

    Returns:
        ``(B,)``, the mean over the teachers.

    >>> one, two = torch.tensor([[[2.0, 0.0, torch.nan]]]), torch.tensor([[[0.0, 2.0, 9.0]]])
    >>> [round(float(disagreement(one, other, 2.0)), 3) for other in (one, two)]
    [0.0, 0.462]
    """
    known = ~torch.isnan(one)
    first, second = ((z / temperature).masked_fill(~known, -torch.inf).log_softmax(2) for z in (one, two))
    return (first.exp() * (first - second)).masked_fill(~known, 0).sum(2).mean(1)


def asked(
    student: Student, participants: Sequence[Teacher], given: InputContract, settings: TransferSettings
) -> Said:
    """What participants and the own model say of any images that were prepared for ``given``."""
    models = {t.site: t.model for t in participants}

    @torch.no_grad()
    def said(images: Tensor) -> dict[str, Tensor]:
        logits = {
            site: _logits(model.network, converted(images, given, model.card.input))
            for site, model in models.items()
        }
        own = _logits(student.own.network, converted(images, given, student.own.card.input))
        soft = targets.soft_targets(participants, logits, own, student.labels, settings.soft_targets)
        return {"soft_targets": soft, "own": own}

    return said


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    return network.to(images.device).eval()(images).float().cpu()
