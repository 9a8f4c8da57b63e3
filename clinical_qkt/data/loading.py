"""MONAI's loader of images, held to the readers that it is given."""

from __future__ import annotations

from collections.abc import Sequence

from monai.data import ImageReader
from monai.transforms import LoadImaged


def loader(key: str, readers: Sequence[ImageReader]) -> LoadImaged:
    """``LoadImaged`` that reads a file by the one reader it belongs to, and by no other.

    MONAI's own tries all readers that it knows after those that it is given. What one of ours refuses, such
    as a segmentation in a DICOM file, another would read in its own way.

    Args:
        readers: of kinds that do not overlap; each tells its files by ``verify_suffix``.

    Raises:
        RuntimeError: when called, a file belongs to no reader.
    """
    found = LoadImaged(key, reader=list(readers), image_only=True)  # type: ignore[arg-type]
    found._loader.readers, found._loader.auto_select = list(readers), True
    return found
