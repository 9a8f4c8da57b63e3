"""The student's model as MLflow serves it: the model folder, verified and loaded as everywhere; no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clinical_qkt.core.batches import images_at_once
from clinical_qkt.core.parts import InParts
from clinical_qkt.packages.model import Model, load_model
from clinical_qkt.tasks.single_label import SINGLE_LABEL


class Served:
    """``predict``: from prepared images to probabilities."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.model.network.eval()

    @torch.no_grad()
    def predict(self, images: NDArray[Any], params: dict[str, Any] | None = None) -> NDArray[Any]:
        """Probabilities of each class.

        Args:
            images: ``(N, channels, *spatial_size)`` float32, prepared as the card's input contract says.

        Returns:
            ``(N, classes)`` float32, classes in the order of the card.
        """
        given, network = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)), self.model.network
        said = InParts(network, "prediction", images_at_once(network, given.shape[1:]))(given)
        return SINGLE_LABEL.probabilities(said).numpy()


def _load_pyfunc(path: str) -> Served:
    """MLflow's entry point for a ``loader_module``.

    Raises:
        PackageError: the folder is not what it was when it was written.
    """
    return Served(load_model(Path(path)))
