"""The pictures of a list to label, as pages that need no network. They show patients' images: they stay."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from clinical_qkt.core.files import write_text
from clinical_qkt.core.pages import environment
from clinical_qkt.data.images import raw_image
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.worklist import words
from clinical_qkt.worklist.listing import PAGE, TABLE, Row, Worklist

Array = NDArray[Any]
PER_PAGE = 200
"""Pictures of one page: more are slow on a telephone."""
LARGEST = 512
"""Pixels of a picture's longer side."""


def write_pages(folder: Path, archive: Path, listed: Worklist, contract: InputContract) -> None:
    """Write ``worklist.html`` and, for long lists, ``worklist-2.html`` and so on.

    Args:
        archive: the folder with the images.
        contract: how the model reads them, so that what is shown is what it sees, in full size.
    """
    templates = environment("clinical_qkt.worklist")
    template = templates.get_template("worklist.html.j2")
    parts = [listed.rows[i : i + PER_PAGE] for i in range(0, len(listed.rows), PER_PAGE)]
    files = [PAGE, *(f"worklist-{i}.html" for i in range(2, len(parts) + 1))]
    about = {
        "site": listed.site,
        "count": len(listed.rows),
        "words": words.allowed(LabelSpace(listed.classes)),
        "neither": words.NONE,
        "unusable": words.UNUSABLE,
        "table": TABLE,
        "files": files,
        "version": listed.version,
    }
    with tqdm(total=len(listed.rows), desc="pictures", leave=False, disable=None) as bar:
        for i, rows in enumerate(parts):
            pictures = list(_pictures(rows, archive, contract, bar))
            shown = template.render(**about, pictures=pictures, at=i)
            write_text(folder / files[i], shown, private=True)


def _pictures(
    rows: Sequence[Row], archive: Path, contract: InputContract, bar: tqdm[Any]
) -> Iterator[dict[str, Any]]:
    for row in rows:
        values = raw_image(archive / row.file, contract.intensity).values
        yield {"number": row.number, "views": [_encoded(v) for v in views(values, contract)]}
        bar.update()


def views(values: Array, contract: InputContract) -> list[Array]:
    """An image as pictures: itself, or the three middle slices of a volume.

    Args:
        values: ``(width, height)``, ``(width, height, 3)`` or ``(x, y, z)``, see ``images.RawImage``.

    Returns:
        ``(height, width)`` or ``(height, width, 3)``, uint8: the contract's range of intensities is black
        to white.
    """
    low, high = contract.intensity_range
    scaled = ((values - low) / (high - low)).clip(0, 1) * 255
    if len(contract.spatial_size) == 3 and values.ndim == 3:
        slices = [np.take(scaled, values.shape[axis] // 2, axis) for axis in (2, 1, 0)]
        return [np.rint(s).astype(np.uint8).T[::-1] for s in slices]
    return [np.rint(scaled).astype(np.uint8).swapaxes(0, 1)]


def _encoded(picture: Array) -> str:
    """A PNG as base64, no larger than ``LARGEST``."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((LARGEST, LARGEST))
    content = io.BytesIO()
    image.save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode("ascii")
