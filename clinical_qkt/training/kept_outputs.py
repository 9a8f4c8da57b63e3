"""What networks say of a site's images, kept between runs: a second query asks them nothing again.

In the site's ``output_dir``, for its owner alone: there is a row for each image, and it never leaves. A file
belongs to weights, images, their preparation and a version of the software, all by digest; the folder can be
removed at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset
from pydantic import BaseModel
from torch import Tensor

from clinical_qkt.core.files import digest_of, sha256
from clinical_qkt.core.tensor_cache import digest_of_tensors, drop_oldest, remembered
from clinical_qkt.core.version import __version__
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.training.inference import Images

FOLDER = "kept"
"""In a site's ``output_dir``."""
MOST = 2**31
"""Bytes of all that is kept there."""


@dataclass
class KeptOutputs:
    """
    Attributes:
        folder: None: nothing is kept.
        seen: digests of files that were read in this run.
    """

    folder: Path | None = None
    seen: dict[str, str] = field(default_factory=dict)

    def of(
        self,
        weights: Mapping[str, Tensor],
        spec: BaseModel,
        images: Images,
        given: InputContract,
        device: torch.device,
        what: str,
        make: Callable[[], Tensor],
        *,
        rows: bool = True,
    ) -> Tensor:
        """What ``make`` gives, unless an earlier run computed it of the same weights and images.

        Args:
            weights: of the network that is asked, as far as they decide what it says.
            spec: what it is, but for its weights.
            images: in order; those of a list that are no files are not kept.
            given: as which they are prepared.
            what: of the network is meant, such as "logits", with all else that decides it.
            rows: whether it has one for each image.
        """
        files = _files(images)
        if self.folder is None or not files:
            return make()
        digest, shape = digest_of_tensors(weights), spec.model_dump_json()
        facts = [what, __version__, torch.__version__, device.type, digest, shape]
        facts += [given.model_dump_json(), self._digest(files)]
        found = remembered(
            self.folder, json.dumps(facts), make, lambda t: len(t) == len(files) if rows else t.ndim > 0
        )
        drop_oldest(self.folder, MOST)
        return found

    def _digest(self, files: Sequence[str]) -> str:
        for file in files:
            if file not in self.seen:
                self.seen[file] = sha256(Path(file))
        return digest_of("\n".join(self.seen[file] for file in files))


def _files(images: Images) -> list[str]:
    """The images' files in order; nothing if they are not all files."""
    rows: Any = images.data if isinstance(images, Dataset) else []
    found = [row["image"] for row in rows] if isinstance(rows, list) else []
    return found if all(isinstance(file, str) for file in found) else []
