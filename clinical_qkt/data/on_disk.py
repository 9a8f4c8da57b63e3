"""Prepared images on disk: MONAI's ``PersistentDataset``, with files that are whole and read as data.

Why not one of MONAI's as it is: ``PersistentDataset`` and ``CacheNTransDataset`` write by ``torch.save`` into
the system's folder for temporary files and move what they wrote, which is no whole step from one disk to
another: a run that is killed can leave half a file, and it is an error when that is read. Everybody may read
what they wrote. They name files after what the list says of an image, so that a picture that was changed is
not seen. ``LMDBDataset`` pickles, so that reading can run code; ``GDSDataset`` needs a GPU's own storage.
What is inherited is where the random transforms begin and what is done before and after.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import monai
from monai.data import PersistentDataset
from monai.transforms import Compose
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clinical_qkt.core.files import fingerprint, private_folder, write_whole
from clinical_qkt.core.version import __version__
from clinical_qkt.data.inputs import InputContract

NAME = "image"


class OnDisk(PersistentDataset):
    """Images of which each is prepared when it is first asked for, and read from then on.

    A folder belongs to one list of files as they are now, one contract and one version of the software:
    whatever differs has another folder, and files that are damaged are made again. Where the disk is full the
    rest is prepared as often as it is needed.

    Args:
        data: ``{"image": file, …}``; transforms change nothing but the image.
        transform: see ``image_cache.kept_images``.
        contract: as which they are prepared.
        folder: below which theirs lies.
    """

    def __init__(
        self, data: Sequence[dict[str, Any]], transform: Compose, contract: InputContract, folder: Path
    ) -> None:
        private_folder(folder)
        super().__init__(data, transform, cache_dir=private_folder(folder / _name(data, contract)))
        self.shape = (contract.channels, *contract.spatial_size)
        self.room = True

    def _transform(self, index: int) -> Any:
        item = self.data[index]
        return self._post_transform({**item, "image": self._kept(index, item)})

    def _kept(self, index: int, item: dict[str, Any]) -> Tensor:
        assert self.cache_dir is not None
        path = self.cache_dir / f"{index:08d}.safetensors"
        try:
            image = load_file(path)[NAME]
            if image.shape == self.shape:
                return image
        except (OSError, SafetensorError, KeyError):
            pass
        made: Tensor = self._pre_transform(dict(item))["image"]
        if self.room:
            self._write(path, made)
        return made

    def _write(self, path: Path, image: Tensor) -> None:
        try:
            write_whole(path, lambda part: save_file({NAME: image.contiguous()}, part), private=True)
        except (OSError, SafetensorError):
            self.room = False
            told = "images cannot be kept on disk any more; others are prepared as often as they are needed"
            print(f"note: {told}", file=sys.stderr)


def there(folder: Path, data: Sequence[dict[str, Any]], contract: InputContract) -> bool:
    """Whether something is kept there of these very images."""
    return folder.is_dir() and (folder / _name(data, contract)).is_dir()


def _name(data: Sequence[dict[str, Any]], contract: InputContract) -> str:
    files = [_state(str(item["image"])) for item in data]
    return fingerprint(__version__, monai.__version__, contract.model_dump(), files)


def _state(file: str) -> tuple[str, int, int] | str:
    """A file as it is now, by its size and the time of its last change."""
    try:
        found = Path(file).stat()
    except OSError:  # whoever opens it says so
        return file
    return file, found.st_size, found.st_mtime_ns
