"""A simulated federation's images: as each site's equipment shows them, and as each model asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset
from torch import Tensor

from clinical_qkt.core.runtime import WORKERS
from clinical_qkt.data.images import raw_image
from clinical_qkt.data.inputs import InputContract, converted
from clinical_qkt.data.sources import Source
from clinical_qkt.data.transforms import adapter, reading, show_progress
from clinical_qkt.research.shift import Look
from clinical_qkt.training.inference import Images

AT_ONCE = 256
"""Images that are brought to another look together."""


class SiteImages:
    """Images by site, position and contract; each is made once, but for those in another site's look.

    Args:
        prepared: as the data have them, position -> ``{"image", "label"}``.
        raw: what they are prepared for.
        looks: of each site; None for a site that shows images as they are.
    """

    def __init__(
        self, prepared: Mapping[int, dict[str, Any]], raw: InputContract, looks: Sequence[Look | None]
    ) -> None:
        self.prepared, self.raw, self.looks = prepared, raw, looks
        self._made: dict[tuple[int | None, str], dict[int, Tensor]] = {}

    def of(self, site: int, positions: Sequence[int], contract: InputContract | None = None) -> list[Tensor]:
        """Images as a site shows them and a contract asks for them, from the raw ones; raw ones if None."""
        wanted = contract or self.raw
        look = self.looks[site]
        if look is None and wanted == self.raw:
            return [self.prepared[i]["image"] for i in positions]
        if wanted.look:  # of one pair of sites alone: kept, those of all pairs would fill the memory
            images = torch.stack([torch.as_tensor(image) for image in self.of(site, positions)])
            return [image for part in images.split(AT_ONCE) for image in converted(part, self.raw, wanted)]
        made = self._made.setdefault((None if look is None else site, wanted.model_dump_json()), {})
        if missing := [i for i in dict.fromkeys(positions) if i not in made]:
            raw = self._shown(look, missing) if wanted == self.raw else self.of(site, missing)
            made.update((i, self._as(wanted, image)) for i, image in zip(missing, raw, strict=True))
        return [made[i] for i in positions]

    def view(self, images: Images, contract: InputContract) -> list[dict[str, Any]]:
        """Images as a contract asks for them, in the look of the site whose they are; from the raw ones."""
        items = [images[i] for i in range(len(images))]
        seen: dict[tuple[int, int], Tensor] = {}
        for site in {int(item["site"]) for item in items}:
            mine = [int(item["position"]) for item in items if int(item["site"]) == site]
            found = self.of(site, mine, contract)
            seen.update({(site, i): image for i, image in zip(mine, found, strict=True)})
        return [{**item, "image": seen[int(item["site"]), int(item["position"])]} for item in items]

    def _shown(self, look: Look | None, positions: Sequence[int]) -> list[Tensor]:
        images = torch.stack([torch.as_tensor(self.prepared[i]["image"]) for i in positions])
        if look is not None:
            images = self.raw.values(look.of(self.raw.intensities(images), positions).float())
        return list(images)

    def _as(self, wanted: InputContract, image: Any) -> Tensor:
        return converted(torch.as_tensor(image)[None], self.raw, wanted)[0]


def prepare(source: Source, side: int | None = None) -> dict[int, dict[str, Any]]:
    """All images of a source's splits as a network gets them, in memory.

    Args:
        side: of images that are files, in pixels; as many as the first of them has if None.
    """
    positions = sorted(int(i) for part in source.splits.values() for i in part)
    read = reading("display") if isinstance(source.images, list) else []
    raw = [{"image": _channel_first(source.images[i]), "label": int(source.labels[i])} for i in positions]
    first = adapter(read, contract_of(raw[0]["image"], side))
    data = CacheDataset(raw, first, num_workers=WORKERS, copy_cache=False, progress=show_progress())
    return dict(zip(positions, (data[i] for i in range(len(data))), strict=True))


def contract_of(image: Any, side: int | None = None) -> InputContract:
    """What images like this one are prepared for: their own channels and size.

    Args:
        image: channels first, or a file.
        side: of a file's image, in pixels; its own if None.
    """
    channels, *size = raw_image(image).shape if isinstance(image, Path) else image.shape
    if side is not None and isinstance(image, Path):
        size = [side] * len(size)
    return InputContract(channels=channels, spatial_size=size)


def _channel_first(image: Any) -> Any:
    """``(H, W)`` or ``(H, W, C)`` pixels as MONAI's PILReader gives them: channels, width, height."""
    if isinstance(image, Path):
        return image
    picture = image[..., None] if image.ndim == 2 else image
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 1, 0)))
