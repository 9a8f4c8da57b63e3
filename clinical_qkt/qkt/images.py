"""The student's images as each network takes them, and what models say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import zip_longest
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clinical_qkt.data.datalist import CheckedData, Section
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import cached
from clinical_qkt.networks.one_body import body
from clinical_qkt.networks.spec import NetworkSpec, linear_head
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt.one_body import body_of
from clinical_qkt.qkt.student import OWN
from clinical_qkt.qkt.teachers import Teacher, require_same_kind
from clinical_qkt.training.inference import Images, head_inputs, logits_of
from clinical_qkt.training.kept_outputs import KeptOutputs

HEAD_INPUTS = "head inputs"
"""Of a model: what is kept belongs to its body, whatever its head."""


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

    def logits(self, teachers: Sequence[Teacher], section: Section = "training") -> dict[str, Tensor]:
        """Each teacher's logits on a section's images by site, and the own model's as ``OWN``.

        Where several have one body, the images are shown to it once.
        """
        asked = [(t.site, t.model, self.seen_by(t, section)) for t in teachers]
        asked.append((OWN, self.own, self.prepared(section, self.own.card.input)))
        bodies = [body_of(model) for _, model, _ in asked] if teachers else []
        shared = {found for found in bodies if found is not None and bodies.count(found) > 1}
        return {
            name: self._by_head(model, shown) if found in shared else self._said(model, shown, name)
            for (name, model, shown), found in zip_longest(asked, bodies)
        }

    def _said(self, model: Model, shown: Images, whose: str) -> Tensor:
        told = "logits" if whose == OWN else f"logits of {whose}"
        return self._kept(model, shown, "logits", lambda n: logits_of(n, shown, self.device, what=told))

    @torch.no_grad()
    def _by_head(self, model: Model, shown: Images) -> Tensor:
        head = linear_head(model.network)
        found: Tensor = head(self._head_inputs(model, shown).to(head.weight.device))
        return found.float().cpu()

    def features(self, teachers: Sequence[Teacher]) -> dict[str, Tensor]:
        """What arrives at each teacher's head for the training images, by site, ``(N, its features)``."""
        return {t.site: self._head_inputs(t.model, self.seen_by(t)) for t in teachers}

    def _head_inputs(self, model: Model, shown: Images) -> Tensor:
        return self._kept(model, shown, HEAD_INPUTS, lambda n: head_inputs(n, shown, self.device))

    def _kept(self, model: Model, shown: Images, what: str, ask: Callable[[nn.Module], Tensor]) -> Tensor:
        network, card = model.network, model.card
        of_body = what == HEAD_INPUTS and isinstance(card.network, NetworkSpec)
        weights = body(network) if of_body else network.state_dict()
        return self.outputs.of(
            weights, card.network, shown, card.input, self.device, what, lambda: ask(network)
        )
