"""The demo's hospitals with looks of their own: their pictures, and a sheet with them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import private_folder, write_whole
from clinical_qkt.data.formats import kind_of
from clinical_qkt.data.images import raw_image
from clinical_qkt.data.sources import Source
from clinical_qkt.research.contact_sheet import contact_sheet
from clinical_qkt.research.shift import Look, Shift, look_of


def require_pictures(source: Source, shift: Shift) -> None:
    """
    Raises:
        InputError: looks are wanted of images that are no pictures.
    """
    if shift == "none" or not isinstance(source.images, list):
        return
    other = next((path for path in source.images if kind_of(path) not in (None, "picture")), None)
    if other is not None:
        raise InputError(
            "looks are simulated for pictures alone (PNG, JPEG, …), and this is none",
            where=f"--shift: {other}",
            fix="leave --shift out, or give pictures",
        )


def looks_of(source: Source, sites: int, shift: Shift, seed: int) -> list[Look] | None:
    """Each site's look; None if their pictures look alike."""
    if shift == "none":
        return None
    channels = len(_picture(source, int(source.splits["training"][0])))
    return [look_of(seed, site, shift, channels=channels) for site in range(sites)]


def write_looked(source: Source, positions: Sequence[int], look: Look, folder: Path) -> list[Path]:
    """A PNG of each picture as a site shows it.

    Args:
        positions: of the site's pictures.

    Returns:
        The path of each picture of the source, in its order; of others too, though none is written.
    """
    width = len(str(len(source.images)))
    paths = [folder / f"{i:0{width}d}.png" for i in range(len(source.images))]
    private_folder(folder)
    for i in tqdm(positions, f"writing images of {folder.name}", leave=False, disable=None):
        if not paths[i].exists():
            seen = look.of(_picture(source, i)[None], [i])[0].permute(2, 1, 0).squeeze(2).numpy()
            write_whole(paths[i], partial(Image.fromarray(seen).save, format="PNG"), private=True)
    return paths


def write_sheet(source: Source, sites: Sequence[str], looks: Sequence[Look], path: Path) -> None:
    """A test image of each class, as the data have it and as each site shows it."""
    test = source.splits["test"]
    first = [int(test[source.labels[test] == c][0]) for c in range(len(source.classes))]
    # Beside each other pictures are of one size, whatever theirs is.
    side = max(max(_picture(source, i).shape[1:]) for i in first)
    shown = torch.cat([_square(_picture(source, i), side) for i in first])
    rows = {"as in the data": list(shown)}
    rows |= {site: list(look.of(shown, first)) for site, look in zip(sites, looks, strict=True)}
    contact_sheet(path, rows, source.classes.names)


def _picture(source: Source, i: int) -> Tensor:
    """``(channels, width, height)``, brightness from 0 to 255."""
    if isinstance(source.images, list):
        values = torch.as_tensor(raw_image(source.images[i]).values)
        return values.permute(2, 0, 1) if values.ndim == 3 else values[None]
    values = torch.from_numpy(source.images[i]).float()
    return values.permute(2, 1, 0) if values.ndim == 3 else values.T[None]


def _square(picture: Tensor, side: int) -> Tensor:
    return torch.nn.functional.interpolate(picture[None], size=(side, side), mode="nearest")
