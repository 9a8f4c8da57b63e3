"""The student's images as each network takes them, and what models say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clinical_qkt.data.datalist import CheckedData, Section
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import cached
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt.student import OWN
from clinical_qkt.qkt.teachers import Teacher, require_same_kind
from clinical_qkt.training.inference import Images, head_inputs, logits_of
from clinical_qkt.training.kept_outputs import KeptOutputs


class OwnImages:
    """A site's images, prepared once for each input contract that a network has, and kept as memory allows.

    Args:
        data: the site's images, checked.
        read: MONAI transforms from a file to a raw channel-first image.
        own: the site's own model.
        device: where networks run.
        timed: measures what is done within it.
        outputs: what networks said of these images in earlier runs.
    """

    def __init__(
        self,
        data: CheckedData,
        read: list[Any],
        own: Model,
        device: torch.device,
        timed: Callable[[str], AbstractContextManager[None]],
        outputs: KeptOutputs | None = None,
    ) -> None:
        self.outputs = outputs or KeptOutputs()
        self.data, self.read, self.own, self.device, self.timed = data, read, own, device, timed
        self.kept: dict[tuple[Section, str], Images] = {}

    def prepared(self, section: Section, given: InputContract) -> Images:
        """A section's images as a contract asks for them, ``{"image", "label"}``."""
        key = (section, given.model_dump_json())
        if key not in self.kept:
            with self.timed("images"):
                items = self.data.items[section]
                own = given == self.own.card.input
                self.kept[key] = cached(items, self.read, given, f"{section} images", own)
        return self.kept[key]

    def patients(self, section: Section) -> NDArray[Any] | None:
        """``(N,)`` numbers that tell whose image each of a section's is; None if nobody is named."""
        return self.data.whose(section)

    def seen_by(self, teacher: Teacher, section: Section = "training") -> Images:
        """A section's images as a teacher's card asks for them, prepared from the raw intensities.

        Raises:
            PackageError: it asks for what cannot be made of them without guessing.
        """
        require_same_kind(teacher.model.card, self.own.card.input)
        return self.prepared(section, teacher.model.card.input)

    def logits(self, teachers: Sequence[Teacher]) -> dict[str, Tensor]:
        """Each teacher's logits on the training images by site, and the own model's as ``OWN``."""
        said = {t.site: self._said(t.model, self.seen_by(t), f"logits of {t.site}") for t in teachers}
        own = self._said(self.own, self.prepared("training", self.own.card.input), "logits")
        return {**said, OWN: own}

    def _said(self, model: Model, shown: Images, told: str) -> Tensor:
        return self._kept(model, shown, "logits", lambda n: logits_of(n, shown, self.device, what=told))

    def features(self, teachers: Sequence[Teacher]) -> dict[str, Tensor]:
        """What arrives at each teacher's head for the training images, by site, ``(N, its features)``."""
        return {t.site: self._head_inputs(t.model, self.seen_by(t)) for t in teachers}

    def _head_inputs(self, model: Model, shown: Images) -> Tensor:
        return self._kept(model, shown, "head inputs", lambda n: head_inputs(n, shown, self.device))

    def _kept(self, model: Model, shown: Images, what: str, ask: Callable[[nn.Module], Tensor]) -> Tensor:
        network, card = model.network, model.card
        return self.outputs.of(
            network, card.network, shown, card.input, self.device, what, lambda: ask(network)
        )
