"""A batch is changed at once, and each image as MONAI's transforms would have changed it alone."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from monai.data import Dataset
from monai.data.utils import set_rnd
from monai.transforms import Compose, RandAffined, RandFlipd, RandRotate90d

from clinical_qkt.data import batchwise
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.training.loop import plain_tensors

SIZES = {"square": [6, 6], "oblong": [4, 6], "volume": [4, 5, 6]}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_images_are_the_same_to_the_last_bit_as_one_by_one(size):
    images = [{"image": torch.rand(2, *size)} for _ in range(40)]
    alone, together = (Dataset(images, Compose(symmetries(size))) for _ in range(2))
    for epoch in range(2):
        for data in (alone, together):
            set_rnd(data, epoch)
        with plain_tensors():
            expected = torch.stack([alone[i]["image"] for i in range(len(images))])
        found = [
            batchwise.changed(torch.stack([i["image"] for i in part]), together.transform.transforms)
            for part in (images[:25], images[25:])
        ]
        assert torch.equal(torch.cat(found), expected)
        assert not torch.equal(expected, torch.stack([i["image"] for i in images]))


def test_a_square_has_eight_symmetries():
    picture = torch.arange(4.0).view(1, 1, 2, 2).expand(800, 1, 2, 2)
    seen = Counter(tuple(x.flatten().tolist()) for x in batchwise.changed(picture, symmetries([2, 2])))
    assert len(seen) == 8 and min(seen.values()) > 60


def test_other_transforms_are_left_to_monai():
    assert batchwise.known(symmetries([4, 4])) and batchwise.known([])
    assert not batchwise.known([RandAffined("image", prob=1.0)])
    assert not batchwise.known([RandFlipd("image", prob=0.5)])  # along all axes at once
    assert batchwise.known([RandRotate90d("image", prob=0.5)])
