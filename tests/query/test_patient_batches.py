"""Nobody's contribution depends on who else is there: to the last bit, in any order, on each device."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clinical_qkt.core import memory
from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Extractor, describe
from clinical_qkt.networks.spec import preset
from clinical_qkt.privacy.mechanisms import PatientSums
from clinical_qkt.query.patient_batches import SIZES, looked_at, of_images, of_patients, room_for

pytestmark = pytest.mark.usefixtures("real_footprints")

CPU = torch.device("cpu")
LARGE = InputContract(channels=3, spatial_size=[300, 300])
GIVEN = InputContract(channels=3, spatial_size=[24, 24])
DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]
COUNTS = {"anna": 1, "ben": 3, "cora": 1, "dora": 11, "emil": 2, "fred": 8}
ITEMS = [
    {"image": f"{who}/{k:02d}.png", "label": k % 2, "patient": who}
    for who, images in COUNTS.items()
    for k in range(images)
]


def prepare(item: dict[str, Any]) -> dict[str, Any]:
    """An image of its own for each file."""
    source = torch.Generator().manual_seed(sum(map(ord, item["image"])) * 7919 + len(item["image"]))
    return {"image": torch.rand(3, 24, 24, generator=source) * 2 - 1}


def extractor(name: str) -> Extractor:
    torch.manual_seed(0)
    spec = preset(name, 3, [24, 24])
    network = spec.build(2).eval()
    made = Extractor(describe(network, spec, spec.early_depths, GIVEN), network).double_map()
    made.projection = 1e9 * torch.randn_like(made.projection)  # makes much of last bits
    return made.requires_grad_(False)


class ByPlace(nn.Module):
    """Sees of an image little more than how many there are and which place it has."""

    def features(self, images: Tensor) -> Tensor:
        place = torch.arange(len(images), dtype=images.dtype, device=images.device)
        return torch.stack([images.mean((1, 2, 3)), place, place * 0 + len(images)], 1)


def features_of(
    made: Any, items: list[dict[str, Any]], batches: Callable[..., Any] = of_patients, **how: Any
) -> dict[tuple[int, str], Tensor]:
    """Each patient's features by class, as they came."""
    device = torch.device(how.pop("device", "cpu"))
    found: dict[tuple[int, str], list[Tensor]] = {}
    cut = batches(items, 8)
    for batch, seen in zip(cut, looked_at(cut, made, GIVEN, prepare, device, **how), strict=True):
        for row, patient in zip(seen.features, seen.patients, strict=True):
            found.setdefault((batch.label, patient), []).append(row)
    return {key: torch.stack(rows) for key, rows in found.items()}


def same(one: dict[Any, Tensor], other: dict[Any, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["densenet_small", "vit_small"])
def test_what_is_seen_of_a_patient_is_the_same_whoever_leaves_and_in_whatever_order(name, device):
    made = extractor(name)
    everybody = features_of(made, ITEMS, device=device, processes=0)
    shuffled = random.Random(1).sample(ITEMS, len(ITEMS))
    assert same(features_of(made, shuffled, device=device, processes=0), everybody)
    for gone in ("anna", "dora"):
        left = features_of(made, [i for i in ITEMS if i["patient"] != gone], device=device, processes=0)
        assert same(left, {k: v for k, v in everybody.items() if k[1] != gone})


def test_it_is_the_same_with_any_number_of_processes():
    made = extractor("densenet_small")
    alone = features_of(made, ITEMS, processes=0)
    assert all(same(features_of(made, ITEMS, processes=n), alone) for n in (1, 2))


def test_where_patients_share_batches_one_who_leaves_moves_others():
    """So the tests above can fail; and an extractor that sees places alone does no harm in batches of one."""
    without = [i for i in ITEMS if i["patient"] != "anna"]
    for batches, harmless in ((of_images, False), (of_patients, True)):
        one, other = (features_of(ByPlace(), items, batches, processes=0) for items in (ITEMS, without))
        assert same(other, {k: v for k, v in one.items() if k[1] != "anna"}) is harmless


def test_contributions_are_those_of_images_that_are_summed_one_by_one():
    made, sums, alone = extractor("resnet_small"), PatientSums(5, 1e9), PatientSums(5, 1e9)
    made.projection = made.projection[:, :5].contiguous()
    for (label, patient), rows in features_of(made, ITEMS, processes=0).items():
        sums.update(rows, [f"{label} {patient}"] * len(rows))
        for item in (i for i in ITEMS if (i["label"], i["patient"]) == (label, patient)):
            alone.update(made(prepare(item)["image"][None])[1], [f"{label} {patient}"])
    far = (sums.contributions() - alone.contributions()).abs().max()
    assert sums.contributions().abs().max() > 100 and far <= 1


def test_a_batch_holds_one_patients_images_of_one_class_with_few_blanks():
    cut = of_patients(ITEMS, 4)
    assert all(len(set(b.patients)) == 1 and b.size in SIZES and b.size < 2 * len(b.files) for b in cut)
    of_dora = [b for b in cut if b.patients[0] == "dora" and b.label == 0]
    assert [(len(b.files), b.size) for b in of_dora] == [(4, 4), (2, 2)]
    assert [f for b in of_dora for f in b.files] == [f"dora/{k:02d}.png" for k in range(0, 11, 2)]


def test_the_size_of_a_patients_batches_does_not_follow_from_the_memory_that_is_free(monkeypatch):
    made = extractor("resnet_small")
    before = [room_for(made, given, CPU) for given in (GIVEN, LARGE)]
    monkeypatch.setattr(memory, "free", lambda device: 10**7)
    again = extractor("resnet_small")
    after = [room_for(again, given, CPU) for given in (GIVEN, LARGE)]
    assert before == after and before[0] == SIZES[-1] > before[1] >= 1


@pytest.mark.parametrize("processes", [0, 2])
def test_an_image_that_cannot_be_prepared_is_left_out_and_counted(processes):
    def failing(item: dict[str, Any]) -> dict[str, Any]:
        if item["image"] == "ben/02.png":
            raise ValueError("no picture")
        return prepare(item)

    cut = of_patients([i for i in ITEMS if i["patient"] == "ben"], 8)
    seen = list(looked_at(cut, ByPlace(), GIVEN, failing, CPU, processes))
    assert [(s.patients, s.left_out, len(s.features)) for s in seen] == [(["ben"], 1, 1), (["ben"], 0, 1)]


@pytest.mark.parametrize("processes", [0, 1])
def test_a_disk_that_fails_is_told_and_no_image_of_it(processes):
    def failing(item: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("applying transform") from OSError(errno.EIO, "Input/output error", item["image"])

    with pytest.raises(OutputError, match="the disk gives errors") as e:
        list(looked_at(of_patients(ITEMS, 8), ByPlace(), GIVEN, failing, CPU, processes))
    assert "png" not in str(e.value)


def test_an_image_that_does_not_fit_is_refused_whoever_is_there(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 10**5)
    for items in (ITEMS, []):
        with pytest.raises(InputError, match="query: input: an image of 24x24 with 3 channels needs about"):
            list(looked_at(of_patients(items, 8), extractor("resnet_small"), GIVEN, prepare, CPU))
