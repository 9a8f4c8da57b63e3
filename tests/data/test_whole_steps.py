"""Images kept as bytes are, once they are scaled, what they would have been: to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, Dataset
from PIL import Image

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import adapter, reading
from clinical_qkt.data.whole_steps import WholeSteps, compact

NORMALISED = {"value_range": (0.0, 1.0), "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
WAYS = {
    "as usual": {},
    "a window": {"intensity_range": (10.0, 201.0)},
    "normalised": NORMALISED,
    "one mean for all": {**NORMALISED, "mean": [0.5], "std": [0.3]},
    "shrunk": {"spatial_size": [20, 24]},
    "grey": {"channels": 1, "other_channels": "convert"},
}


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    """Every number that 8 bits can hold, in each channel."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    pixels.reshape(-1, 3)[:256] = np.arange(256, dtype=np.uint8)[:, None]
    path = tmp_path_factory.mktemp("pictures") / "a.png"
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.mark.parametrize("way", WAYS)
def test_images_from_bytes_are_the_same_to_the_last_bit(file, way):
    contract = InputContract.model_validate({"channels": 3, "spatial_size": [32, 32], **WAYS[way]})
    transform = adapter(reading("display"), contract)
    at_once, later = (Dataset([{"image": file}], t)[0]["image"] for t in (transform, compact(transform)))
    assert torch.equal(at_once, later) and at_once.dtype == later.dtype == torch.float32
    assert type(at_once) is type(later) is torch.Tensor
    kept = CacheDataset([{"image": file}], compact(transform), progress=False)._cache[0]["image"]
    assert kept.dtype == (torch.float32 if way in ("shrunk", "grey") else torch.uint8)


@pytest.mark.parametrize("odd", [0.5, -1.0, 256.0, float("nan")])
def test_what_is_no_whole_step_stays_as_it_is(odd):
    image = torch.tensor([[[0.0, 255.0, odd]]])
    found = WholeSteps("image")({"image": image})["image"]
    assert found.dtype == torch.float32 and torch.equal(found.nan_to_num(7), image.nan_to_num(7))
