"""What a model says of new images, and what arrives at its heads."""

from __future__ import annotations

import numpy as np
import torch

from clinical_qkt.data.transforms import reading
from clinical_qkt.monitoring.images import looked_at
from clinical_qkt.packages.model import load_model
from tests.little_memory import narrow

from .conftest import pictures


def test_a_device_that_runs_out_of_memory_is_shown_fewer_images_and_finds_the_same(hospital, tmp_path, capfd):
    paths = sorted(pictures(tmp_path / "week", 7, 3).iterdir())
    model = load_model(hospital.parent / "transfer" / "model")
    expected = looked_at(paths, reading("display"), model, torch.device("cpu"))
    narrow(model.network)
    found = looked_at(paths, reading("display"), model, torch.device("cpu"))
    assert "warning: new images: the memory does not suffice for 7 images" in capfd.readouterr().err
    for name in ("look", "features", "stated"):
        assert np.allclose(getattr(found, name), getattr(expected, name), atol=1e-5)
    assert (found.called == expected.called).all() and found.kept.tolist() == list(range(7))
