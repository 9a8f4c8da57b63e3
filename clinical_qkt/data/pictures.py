"""Pictures (PNG, JPEG, TIFF, BMP) as brightness from 0 to 255, whatever mode and bit depth their files have.

Here alone it is decided what becomes of each: it is converted, and said how, or refused with the reason.
``prepare`` and all stages of a bundle read through it. Decoding and colour conversion are Pillow's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader
from monai.data.image_reader import _copy_compatible_dict, _stack_images
from monai.utils.enums import MetaKeys, SpaceKeys
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from clinical_qkt.core.files import write_whole
from clinical_qkt.data.bit_depth import Depth, depth_of
from clinical_qkt.data.formats import ImageRefused, kind_of
from clinical_qkt.data.misread import EXPORT, entries_of, refuse_lost_colours, refuse_misread
from clinical_qkt.data.unidentified import refusal

Array = np.ndarray[Any, Any]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
"""Whatever a file is called, it is opened as one of these or not at all."""
MAX_PIXELS = 2**27
"""A picture that announces more is refused before memory is asked for."""
MISSING = "check that paths are relative to the file that lists them, and that the copy is complete"
SMALLER = "cut out what shows the class, or shrink the pictures"
DARK = 4
"""A picture with more than 8 bits whose brightest pixel is below this part of the brightest possible one may
be dark, or hold fewer bits than its file says; nothing in it tells which."""
OPAQUE, WHITE, DEEPEST = 255, 255.0, 65535.0


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        values: ``(width, height)`` grey or ``(width, height, 3)`` RGB, float32, 0 (black) to 255.
        told: what was done to get there, beyond decoding 8 bits; empty for most pictures.
        deep: whether it is grey with more than 8 bits.
    """

    values: Array
    told: tuple[str, ...] = ()
    deep: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, width, height."""
        width, height, *channels = self.values.shape
        return (channels[0] if channels else 1, width, height)


@dataclass
class _Opened:
    """A picture on its way: Pillow's image, its depth, and what was done so far."""

    image: Image.Image
    depth: Depth
    told: list[str] = field(default_factory=list)


def read_picture(path: Path, bits: int | None = None) -> Picture:
    """Decode a picture.

    Args:
        bits: how many bits the values of a grey picture with more than 8 have, where a person says so; the
            file's own word counts without it.

    Raises:
        ImageRefused: with the reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes; below they are refused
            # An open file, not a path: of a path Pillow 13.0 maps a turned TIFF wrongly into memory
            with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
                return _read(image, path, bits)
    except ImageRefused:
        raise
    except Image.UnidentifiedImageError:
        raise refusal(path) from None
    except Image.DecompressionBombError:
        raise ImageRefused(f"announces more than {MAX_PIXELS:,} pixels", fix=SMALLER) from None
    except FileNotFoundError:
        raise ImageRefused("missing", fix=MISSING) from None
    except PermissionError:
        raise ImageRefused("may not be read by this user") from None
    except Exception:  # a damaged file can raise anything
        raise ImageRefused("truncated or damaged") from None


def _read(image: Image.Image, path: Path, bits: int | None) -> Picture:
    if image.width * image.height > MAX_PIXELS:
        raise ImageRefused(f"announces more than {MAX_PIXELS:,} pixels", fix=SMALLER)
    pages = getattr(image, "n_frames", 1)
    if pages != 1 and image.format != "MPO":  # a camera's MPO is its photograph, with previews behind it
        raise ImageRefused(f"holds {pages} pages or frames; one image a file is read", fix=EXPORT)
    refuse_misread(image, path)
    opened, entries = _Opened(image, depth_of(image, path)), entries_of(image)
    if pages != 1:
        opened.told.append("the first picture of several in the file")
    _tell_orientation(opened)
    image.load()  # Pillow turns a TIFF file here, and forgets its orientation
    refuse_lost_colours(image, entries)
    ImageOps.exif_transpose(image, in_place=True)
    _without_alpha(opened)
    # Width before height, while they are bytes: Pillow turns them three times as fast as NumPy.
    opened.image = opened.image.transpose(Image.Transpose.TRANSPOSE)
    deep = opened.image.mode.startswith("I;16")
    return Picture(np.ascontiguousarray(_brightness(opened, bits), np.float32), tuple(opened.told), deep)


def _tell_orientation(opened: _Opened) -> None:
    """What its EXIF says, and what Pillow will make of it."""
    said = opened.image.getexif().get(ExifTags.Base.Orientation, 1)
    if said in range(2, 9):
        opened.told.append("turned as its EXIF orientation says")
    elif not isinstance(said, int):
        opened.told.append("not turned: its EXIF orientation is no number")


def _without_alpha(opened: _Opened) -> None:
    """Drop an alpha channel, or a transparent colour, that makes nothing transparent.

    Raises:
        ImageRefused: it makes something transparent, and what lies behind is anybody's guess.
    """
    image = opened.image
    _scale_key(image, opened.depth.bits)
    if image.mode.startswith("I;16"):
        key = image.info.get("transparency")
        if key is not None and (np.asarray(image) == key).any():
            raise ImageRefused("is transparent in places", fix=EXPORT)
        return
    if not image.has_transparency_data:
        return
    grey = image.mode in ("L", "LA", "La", "1") or opened.depth.grey
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    if (np.asarray(image.getchannel("A")) < OPAQUE).any():
        raise ImageRefused("is transparent in places", fix=EXPORT)
    opened.image = image.getchannel(0) if grey else image.convert("RGB")
    opened.told.append("an alpha channel dropped that is opaque everywhere")


def _scale_key(image: Image.Image, bits: int) -> None:
    """A PNG's transparent colour in the eight bits that Pillow makes of others, which it leaves as stored."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and bits < 8:
        image.info["transparency"] = key * OPAQUE // (2**bits - 1)
    if image.mode == "RGB" and isinstance(key, tuple) and bits > 8:
        image.info["transparency"] = tuple(part >> (bits - 8) for part in key)


def _brightness(opened: _Opened, bits: int | None) -> Array:
    """The image's pixels in its rows' order, 0 to 255; bytes where Pillow has bytes."""
    image, depth = opened.image, opened.depth
    if depth.signed:
        raise ImageRefused("holds numbers below zero, or may: that is no brightness", fix=EXPORT)
    if image.mode == "1":
        opened.told.append("1 bit, as black and white")
        return np.asarray(image, np.float32) * WHITE
    if image.mode == "L":
        return _shallow(opened, np.asarray(image))
    if image.mode.startswith("I;16"):
        return _deep(opened, bits)
    if image.mode == "F":
        return _floating(opened)
    if image.mode == "I":
        raise ImageRefused("holds 32-bit integers, of which nobody knows which is white", fix=EXPORT)
    if image.mode != "RGB":
        opened.told.append(f"{_NAMES.get(image.mode, image.mode)}, converted to RGB")
        return np.asarray(image.convert("RGB"))
    return _shallow(opened, np.asarray(image))


_NAMES = {"P": "colours of a palette", "PA": "colours of a palette"}


def _shallow(opened: _Opened, values: Array) -> Array:
    """Eight bits: as they are; of more, Pillow keeps the upper eight."""
    bits = opened.depth.bits
    if bits == 8 and values.max() == 1 and values.min() == 0:
        fix = "multiply them by 255, or leave out what is no picture"
        raise ImageRefused("holds nothing but 0 and 1 of 255, which is all black", fix=fix)
    if bits < 8:
        opened.told.append(f"{bits} bits, scaled by their depth")
    elif bits > 8:
        _require_bright(values, int(WHITE), bits)
        opened.told.append(f"{bits} bits a channel, of which the upper 8 are kept")
    return values


def _deep(opened: _Opened, bits: int | None) -> Array:
    """Grey with more than eight bits, scaled by its depth."""
    stored, depth = np.asarray(opened.image).astype(np.int64), opened.depth
    said = bits or depth.bits
    white = 2**said - 1
    if stored.max() > white:
        raise ImageRefused(f"holds values up to {stored.max()}, more than {said} bits can say")
    turned = white - stored if depth.inverted else stored
    if bits is None and not depth.sure:
        _require_bright(stored, white, said)
        _require_bright(turned, white, said)
    opened.told.append(f"{said} bits, scaled by their depth" + (", white is zero" if depth.inverted else ""))
    return turned * (WHITE / white)


def _require_bright(values: Array, white: int, bits: int) -> None:
    """Refuse what may be, for example, 12 bits in the lower part of 16: all but black if it is not."""
    if values.max() < (white + 1) // DARK and values.max() > values.min():
        raise ImageRefused(
            f"has {bits} bits a channel and uses the lowest quarter of them: it is very dark, or its depth "
            "is another one, e.g. 12 bits in 16",
            fix="give `clinical-qkt prepare` the true depth of grey pictures, e.g. --bits 12, or --bits "
            f"{bits} if they are that dark; convert colour pictures to 8 bits",
        )


def _floating(opened: _Opened) -> Array:
    values = np.asarray(opened.image)
    if opened.depth.inverted:
        raise ImageRefused("holds floating-point numbers with white as zero", fix=EXPORT)
    if not np.isfinite(values).all():
        raise ImageRefused("holds values that are not finite", fix=EXPORT)
    if values.min() < 0 or values.max() > 1:
        raise ImageRefused(
            "holds floating-point numbers beyond 0 to 1, of which nobody knows which is white", fix=EXPORT
        )
    if values.max() < 1 / DARK and values.max() > values.min():
        raise ImageRefused(
            "holds floating-point numbers in the lowest quarter of 0 to 1: it is very dark, or its white is "
            "another number",
            fix=EXPORT,
        )
    opened.told.append("floating point, 0 as black and 1 as white")
    return values * WHITE


def write_picture(path: Path, picture: Picture) -> None:
    """Write a grey picture as a PNG of 16 bits that says that all of them count."""
    values = np.rint(picture.values.T * (DEEPEST / WHITE)).astype(np.uint16)
    every_bit_counts = PngImagePlugin.PngInfo()
    every_bit_counts.add(b"sBIT", bytes([16]))
    image = Image.fromarray(values)
    write_whole(path, lambda part: image.save(part, "PNG", pnginfo=every_bit_counts), private=True)


class PictureReader(ImageReader):
    """MONAI's reader for pictures: ``LoadImaged("image", reader=PictureReader())``.

    Axes are those of MONAI's ``PILReader``: width, height and, for colour, channels last. Several files
    become channels of one image.
    """

    def verify_suffix(self, filename: Any) -> bool:
        """Whether all files claim to be pictures."""
        return all(kind_of(Path(f)) == "picture" for f in _listed(filename))

    def read(self, data: Any, **_: Any) -> Any:
        """The picture of each file.

        Raises:
            ImageRefused: with the reason.
        """
        if not self.verify_suffix(data):
            raise ImageRefused("is no picture")
        found = [read_picture(Path(f)) for f in _listed(data)]
        return found if len(found) > 1 else found[0]

    def get_data(self, img: Any) -> tuple[Array, dict[str, Any]]:
        """The array, see ``read_picture``, and MONAI's metadata, which know no spacing."""
        arrays: list[Array] = []
        meta: dict[str, Any] = {}
        for picture in img if isinstance(img, list) else [img]:
            arrays.append(picture.values)
            _copy_compatible_dict(
                {
                    MetaKeys.AFFINE: np.eye(4),
                    MetaKeys.SPACE: SpaceKeys.RAS,
                    MetaKeys.SPATIAL_SHAPE: np.asarray(picture.values.shape[:2]),
                    MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if picture.values.ndim == 2 else -1,
                },
                meta,
            )
        return _stack_images(arrays, meta), meta


def _listed(files: Any) -> Sequence[Any]:
    return files if isinstance(files, list | tuple) else [files]
