"""Phantoms: generated pictures of eight kinds of blood cell. They show no patient and teach no haematology.

Each kind is a recipe: sizes of cell and nucleus, lobes, granules, stain. Stain, light, focus, rotation and
crowding vary from image to image, and kinds overlap (a monocyte with a compact nucleus looks like an immature
granulocyte), so that a small network gets most of them right, not all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from tqdm import tqdm

from clinical_qkt.data.datalist import SECTIONS, Section
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.sources import Source

SIZE = 64
"""Pixels along each side of a phantom."""
_DRAWN = 3
"""Phantoms are drawn this many times larger, then reduced, which smooths their edges."""

Colour = tuple[float, float, float]
Rng = np.random.Generator


@dataclass(frozen=True)
class Recipe:
    """How one kind of cell is drawn; lengths are shares of the picture's side.

    Attributes:
        cell: radius of the cell.
        cytoplasm: its colour, 0 to 255.
        nucleus: radius of the nucleus over that of the cell; 0 for none.
        lobes: least and greatest number of lobes of the nucleus.
        indent: depth of the notch in a single-lobed nucleus, 0 to 1.
        stain: colour of the nucleus.
        granules: how many, their colour and radius.
    """

    cell: float
    cytoplasm: Colour
    nucleus: float
    lobes: tuple[int, int] = (1, 1)
    indent: float = 0.0
    stain: Colour = (96, 62, 140)
    granules: int = 0
    granule_colour: Colour = (150, 110, 160)
    granule: float = 0.012


RECIPES: dict[str, Recipe] = {
    "basophil": Recipe(0.28, (196, 178, 212), 0.62, (2, 3), 0, (104, 74, 150), 60, (58, 38, 110), 0.020),
    "eosinophil": Recipe(0.30, (230, 190, 188), 0.58, (2, 3), 0, (98, 66, 144), 80, (222, 122, 96), 0.016),
    "erythroblast": Recipe(0.22, (214, 186, 200), 0.60, (1, 1), 0, (66, 38, 104)),
    "immature granulocyte": Recipe(
        0.33, (204, 192, 224), 0.72, (1, 1), 0.25, (122, 84, 164), 24, (134, 92, 160), 0.010
    ),
    "lymphocyte": Recipe(0.24, (184, 192, 232), 0.82, (1, 1), 0.05, (88, 54, 138)),
    "monocyte": Recipe(0.34, (186, 184, 212), 0.64, (1, 1), 0.60, (112, 80, 154)),
    "neutrophil": Recipe(0.29, (228, 208, 220), 0.58, (3, 5), 0, (92, 60, 142), 36, (204, 164, 194), 0.009),
    "platelet": Recipe(0.10, (176, 140, 190), 0.0, granules=9, granule_colour=(132, 84, 158), granule=0.014),
}
CLASSES = LabelSpace(list(RECIPES))


def draw_cell(kind: str, rng: Rng) -> np.ndarray[Any, Any]:
    """One phantom.

    Args:
        kind: a name in ``RECIPES``.
        rng: decides everything that varies.

    Returns:
        ``(SIZE, SIZE, 3)`` uint8.
    """
    recipe, side = RECIPES[kind], SIZE * _DRAWN
    tint, strength = rng.normal(0, 9, 3), rng.uniform(0.6, 1.15)

    def ink(colour: Colour) -> tuple[int, ...]:
        """A colour after this slide's staining: its distance from white scaled, then tinted."""
        stained = 255 - (255 - np.array(colour)) * strength + tint + rng.normal(0, 3, 3)
        return tuple(int(v) for v in stained.clip(0, 255))

    picture = Image.new("RGB", (side, side), ink((238, 226, 224)))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.integers(2, 6)):
        _red_cell(pen, rng, side, ink)
    centre = side / 2 + rng.normal(0, 0.04 * side, 2)
    radius = recipe.cell * side * rng.lognormal(0, 0.11)
    pen.polygon(_blob(centre, radius, rng, wobble=0.05), fill=ink(recipe.cytoplasm))
    if recipe.nucleus:
        _nucleus(pen, recipe, centre, radius * recipe.nucleus * rng.lognormal(0, 0.09), rng, ink)
    for _ in range(rng.poisson(recipe.granules * rng.uniform(0.4, 1.2)) if recipe.granules else 0):
        angle, far = rng.uniform(0, 2 * math.pi), radius * 0.92 * math.sqrt(rng.uniform())
        at = centre + far * np.array([math.cos(angle), math.sin(angle)])
        _disc(pen, at, recipe.granule * side * rng.uniform(0.6, 1.3), ink(recipe.granule_colour))
    picture = picture.resize((SIZE, SIZE), Image.Resampling.BOX)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5)))
    pixels = np.asarray(picture, dtype=np.float32) * rng.uniform(0.86, 1.06) + rng.normal(
        0, 5, (SIZE, SIZE, 3)
    )
    return pixels.clip(0, 255).astype(np.uint8)


def phantom_source(per_class: int = 320, seed: int = 0) -> Source:
    """A data set of phantoms, split 55/25/20 % into training, validation and test.

    Args:
        per_class: images of each kind in all.
        seed: the same seed draws the same pictures.
    """
    images = np.empty((per_class * len(CLASSES), SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    for i, label in enumerate(tqdm(labels, "drawing phantoms", leave=False, disable=None)):
        images[i] = draw_cell(CLASSES[int(label)].name, np.random.default_rng([seed, i]))
    first, second = round(0.55 * per_class), round(0.8 * per_class)
    bounds: dict[Section, tuple[int, int]] = {
        "training": (0, first),
        "validation": (first, second),
        "test": (second, per_class),
    }
    place = np.tile(np.arange(per_class), len(CLASSES))
    splits = {s: np.flatnonzero((place >= bounds[s][0]) & (place < bounds[s][1])) for s in SECTIONS}
    return Source("blood-cell phantoms", CLASSES, images, labels, splits, generated=True)


def write_examples(folder: Path, seed: int = 0) -> list[Path]:
    """One PNG of each kind, for people to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, kind in enumerate(RECIPES):
        path = folder / f"{kind.replace(' ', '_')}.png"
        Image.fromarray(draw_cell(kind, np.random.default_rng([seed, i]))).save(path)
        paths.append(path)
    return paths


def _blob(
    centre: Any, radius: float, rng: Rng, wobble: float, stretch: float = 1.0
) -> list[tuple[float, float]]:
    """A closed outline that is nearly a circle."""
    angles = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    outline = np.ones_like(angles)
    for waves in (2, 3, 4):
        outline += wobble * rng.normal() / (waves - 1) * np.cos(waves * angles + rng.uniform(0, 2 * math.pi))
    turn = rng.uniform(0, 2 * math.pi)
    x, y = radius * outline * np.cos(angles) * stretch, radius * outline * np.sin(angles) / stretch
    return [
        (
            centre[0] + a * math.cos(turn) - b * math.sin(turn),
            centre[1] + a * math.sin(turn) + b * math.cos(turn),
        )
        for a, b in zip(x, y, strict=True)
    ]


def _nucleus(
    pen: ImageDraw.ImageDraw, recipe: Recipe, centre: Any, radius: float, rng: Rng, ink: Any
) -> None:
    fill, lobes = ink(recipe.stain), int(rng.integers(recipe.lobes[0], recipe.lobes[1] + 1))
    turn = rng.uniform(0, 2 * math.pi)
    if lobes == 1:
        middle = centre + rng.normal(0, 0.06 * radius, 2)
        pen.polygon(_blob(middle, radius, rng, wobble=0.06, stretch=rng.uniform(1.0, 1.22)), fill=fill)
        depth = recipe.indent * rng.uniform(0.3, 1.2)
        if depth > 0.1:
            at = middle + radius * (1.25 - 0.55 * depth) * np.array([math.cos(turn), math.sin(turn)])
            pen.polygon(_blob(at, radius * 0.62 * depth, rng, wobble=0.08), fill=ink(recipe.cytoplasm))
        return
    spread, small = radius * 0.62, radius * (0.72 if lobes == 2 else 0.56 if lobes == 3 else 0.46)
    arc = 2 * math.pi * (lobes - 1) / lobes * rng.uniform(0.75, 1.0)
    spots = [
        centre
        + spread * np.array([math.cos(turn + arc * i / (lobes - 1)), math.sin(turn + arc * i / (lobes - 1))])
        for i in range(lobes)
    ]
    pen.line([tuple(s) for s in spots], fill=fill, width=max(2, round(small * 0.45)))
    for spot in spots:
        pen.polygon(
            _blob(spot, small * rng.lognormal(0, 0.12), rng, wobble=0.07, stretch=rng.uniform(1, 1.2)),
            fill=fill,
        )


def _red_cell(pen: ImageDraw.ImageDraw, rng: Rng, side: int, ink: Any) -> None:
    angle, far = rng.uniform(0, 2 * math.pi), side * rng.uniform(0.36, 0.70)
    at = side / 2 + far * np.array([math.cos(angle), math.sin(angle)])
    radius = side * rng.uniform(0.15, 0.19)
    pen.polygon(_blob(at, radius, rng, wobble=0.04), fill=ink((224, 160, 156)))
    _disc(pen, at, radius * 0.45, ink((234, 186, 180)))


def _disc(pen: ImageDraw.ImageDraw, at: Any, radius: float, fill: tuple[int, ...]) -> None:
    pen.ellipse([at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius], fill=fill)
