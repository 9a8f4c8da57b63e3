"""Which images a bundle is made for, and which of the shipped bundles is made for given images."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from pydantic import Field

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.shipped_bundles import shipped
from clinical_qkt.core.values import Sent
from clinical_qkt.data.formats import Kind

_NAMES: dict[Kind, str] = {
    "picture": "pictures (PNG, JPEG, TIFF, BMP)",
    "dicom": "DICOM files",
    "nifti": "NIfTI volumes",
}
SILENT = {"", "OT"}
"""Modalities that tell nothing: none, and DICOM's "other" (PS3.3, section C.7.3.1.1.1)."""


@dataclass(frozen=True)
class ImageFacts:
    """What a site's images have in common, or not.

    Attributes:
        kinds: of their files.
        channels: of all.
        dimensions: 2 for pictures and slices, 3 for volumes.
        modalities: that DICOM headers name.
    """

    kinds: Collection[Kind]
    channels: int
    dimensions: int
    modalities: Collection[str] = ()


class MadeFor(Sent):
    """The part ``defaults::made_for`` of a bundle's ``metadata.json``."""

    formats: list[Kind]
    """Kinds of files."""
    channels: list[int]
    """1 for grey images, 3 for colour."""
    modalities: list[str] = Field(default=[])
    """Of DICOM files, where their headers tell it; empty for any."""

    def obstacle(self, facts: ImageFacts) -> str | None:
        """Why images are not what the bundle is made for; None if they are."""
        for kind in sorted(set(facts.kinds) - set(self.formats)):
            made = " and ".join(_NAMES[k] for k in self.formats)
            return f"there are {_NAMES[kind]} among the images, and the bundle is made for {made}"
        if facts.channels not in self.channels:
            made = " or ".join(map(str, self.channels))
            return f"images have {facts.channels} channels, and the bundle is made for {made}"
        strange = sorted(set(facts.modalities) - set(self.modalities) - SILENT) if self.modalities else []
        if strange:
            made = ", ".join(self.modalities)
            return f"there are images of the modality {strange[0]}, and the bundle is made for {made}"
        return None


def require_made_for(made_for: MadeFor, facts: ImageFacts, where: str) -> None:
    """Refuse images that a bundle is not made for.

    Raises:
        InputError: says which, and names the shipped bundles that are made for such images.
    """
    obstacle = made_for.obstacle(facts)
    if obstacle is None:
        return
    others = fitting(facts)
    use = f"use the bundle {' or '.join(others)}" if others else "use a bundle of your own for such images"
    raise InputError(obstacle, where=where, fix=f"{use}, see docs/how-to/prepare-your-images.md")


def fitting(facts: ImageFacts) -> list[str]:
    """The names of the shipped bundles that are made for such images."""
    found = []
    for name, folder in shipped().items():
        metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
        sizes = metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]
        made_for = MadeFor.model_validate(metadata["defaults"]["made_for"])
        if made_for.obstacle(facts) is None and len(sizes) == facts.dimensions:
            found.append(name)
    return found
