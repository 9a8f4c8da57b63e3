"""What a frozen network gives of a simulation's images, computed once for all sites, methods and queries.

Where all sites train the head alone of the same pretrained network, an image's features are the same whoever
looks at it: only heads and maps differ. At 224 pixels looking is nearly all that a query costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clinical_qkt.core.files import fingerprint
from clinical_qkt.core.tensor_cache import cached
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.probes import probes
from clinical_qkt.networks.committee import Committee
from clinical_qkt.networks.extractor import Extractor, ExtractorSpec, Pooling
from clinical_qkt.networks.multihead import MultiHead
from clinical_qkt.networks.one_body import same_body
from clinical_qkt.networks.spec import NetworkSpec, linear_head
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt.knowledge_masks import knowledge_mask
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.research.methods.case import Known
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import head_inputs, pooled_of

PROBES, AT_ONCE = 2048, 64
"""Probes of a model, and so many at once."""


@dataclass
class KnownNumbers(Known):
    """Of images by their position in the data.

    Attributes:
        spec, network: that all sites have, with whatever head.
        given: how images are prepared for it.
        about: what decides weights and images, as text; files are named after it. Networks with the same
            weights differ in their heads alone: what arrives there is named after the network, too.
        folder: where what was computed lies.
        images: position -> ``{"image", "label"}``.
    """

    spec: NetworkSpec
    network: nn.Module
    given: InputContract
    about: str
    folder: Path
    images: dict[int, dict[str, Any]]
    device: torch.device
    _tables: dict[str, dict[int, Tensor]] = field(default_factory=dict, repr=False)

    def head_inputs(self, items: Sequence[dict[str, Any]]) -> Tensor:
        """``(N, features)``: what arrives at the head."""
        what = f"head of {self.spec.name}"
        table = self._table(what, lambda images: head_inputs(self.network, images, self.device))
        return torch.stack([table[int(item["position"])] for item in items])

    @torch.no_grad()
    def logits(self, network: nn.Module, items: Sequence[dict[str, Any]]) -> Tensor:
        """``(N, classes)`` of such a network, by its head alone; or of several that are joined."""
        if isinstance(network, Committee):
            return network.joined([self.logits(member, items) for member in network.members])
        if isinstance(network, MultiHead):
            pooled = self.pooled(network.body, items).float()
            return network.answer(self.logits(network.body.network, items), network.heads(pooled))
        # A member with the body of the first is its head alone; its only linear layer is itself.
        found: Tensor = linear_head(network)(self.head_inputs(items))
        return found

    def knows(self, network: nn.Module) -> bool:
        """Whether a network, or each of several that are joined, is the known one but for its head."""
        if isinstance(network, Committee):
            seeing = list(network.members)[: 1 if network.spec.one_body else None]
            return all(self.knows(member) for member in seeing)
        if isinstance(network, MultiHead):
            return self.knows(network.body.network)
        return same_body([self.network, network])

    def pooled(self, body: Pooling, items: Sequence[dict[str, Any]]) -> Tensor:
        """``(N, pooled)`` float64, before the map if there is one."""
        spec = body.spec
        name = fingerprint(spec.depths, spec.mirror_axes if isinstance(spec, ExtractorSpec) else [])
        bare = (
            Extractor(spec, self.network) if isinstance(spec, ExtractorSpec) else Pooling(spec, self.network)
        )
        table = self._table(name, lambda images: pooled_of(bare, images, self.device))
        return torch.stack([table[int(item["position"])] for item in items]).double()

    def mapped(
        self,
        made: Callable[[], Extractor],
        network: nn.Module,
        how: Any,
        items: Sequence[dict[str, Any]],
    ) -> Extractor:
        """An extractor of a site's network, whose map was made of these images before, or is made now.

        Args:
            how: what else decides it.
        """
        images = [(int(item["position"]), int(item["label"])) for item in items]

        def parts() -> dict[str, Tensor]:
            extractor = made()
            spec = torch.frombuffer(bytearray(extractor.spec.model_dump_json().encode()), dtype=torch.uint8)
            return {"center": extractor.center, "projection": extractor.projection, "spec": spec}

        found = cached(self._file(f"map {how} of {self.spec.name} {images}"), parts)
        spec = ExtractorSpec.model_validate_json(bytes(found["spec"].tolist()))
        extractor = Extractor(spec, network).eval()
        extractor.center, extractor.projection = found["center"], found["projection"]
        return extractor

    def probed(self, models: Sequence[Model], seed: int) -> list[Teacher]:
        """Such models with what probes say of them, as ``teachers.probe`` finds it."""
        shape = self.given.channels, self.given.spatial_size, *self.given.value_range
        made = probes(PROBES, *shape, seed=seed, at_once=AT_ONCE)

        def seen() -> dict[str, Tensor]:
            batches = ([{"image": image} for image in self.given.normalised(part)] for part in made)
            return {"head": torch.cat([head_inputs(self.network, b, self.device) for b in batches])}

        what = f"probes {PROBES} {seed} at the head of {self.spec.name}"
        inputs, found = cached(self._file(what), seen)["head"], []
        for model in models:
            with torch.no_grad():
                scores = SINGLE_LABEL.probabilities(linear_head(model.network)(inputs)).amax(0)
            found.append(Teacher(model, {}, scores, knowledge_mask(scores).tolist()))
        return found

    def _table(self, what: str, look: Any) -> dict[int, Tensor]:
        if what not in self._tables:
            positions = sorted(self.images)
            rows = cached(self._file(what), lambda: {"rows": look([self.images[i] for i in positions])})
            self._tables[what] = dict(zip(positions, rows["rows"], strict=True))
        return self._tables[what]

    def _file(self, what: str) -> Path:
        return self.folder / f"{fingerprint(self.about, self.given.model_dump(), what)}.safetensors"
